"""Does the dataset give itself away? Facts, a metadata-only baseline, picture-level probes, alignment. No torch."""

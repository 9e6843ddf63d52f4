"""Bytes to pixels and back: decoding, file facts, JPEG tables, the one resampler, encoders, degradations. No torch."""

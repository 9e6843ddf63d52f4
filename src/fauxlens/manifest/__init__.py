"""A folder to a Manifest and back: layouts, scan, verify, splits, selection, and what owners offer for download."""

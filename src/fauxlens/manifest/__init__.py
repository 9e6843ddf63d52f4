"""A folder to a Manifest and back: layouts, verify, split, select."""

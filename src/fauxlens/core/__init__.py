"""The ground floor: errors, name tables, settings, seeds, files, hashes. Imports nothing of ours and no torch."""

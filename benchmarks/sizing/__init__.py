"""Time and memory of building and using packs of the real sizes, for ``full_size.py``."""

"""A real photo to a locally forged one: which region (perceive), made anew how (create), good enough (judge)."""

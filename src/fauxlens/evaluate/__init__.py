"""Predict once, score often: predictions as a table, protocols as data, every number with an interval."""

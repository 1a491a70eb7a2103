"""Writes an Explanation for people and programs; the only place that escapes."""

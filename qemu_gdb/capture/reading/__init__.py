"""Sorts the lines of a pasted text: a file for each kind of line, over one state of the reading."""

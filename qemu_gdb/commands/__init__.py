"""gdb commands: parse the line, capture, explain, render."""

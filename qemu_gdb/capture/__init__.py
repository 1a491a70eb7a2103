"""Makes Snapshots: from a process or core inside gdb, or from pasted text."""

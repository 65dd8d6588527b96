"""One trial in a process of its own: its session, its files, its faults."""

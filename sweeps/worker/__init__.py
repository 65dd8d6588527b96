"""One trial in a worker process: its session, its files, its errors."""

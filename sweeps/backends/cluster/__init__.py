"""The nodes of a Ray cluster: their software, the code that travels to them, their slots."""

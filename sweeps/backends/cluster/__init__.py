"""The nodes of a Ray cluster: their software, the code that is uploaded to them, their slots."""

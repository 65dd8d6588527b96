"""The report of a sweep or a ladder as one HTML file."""

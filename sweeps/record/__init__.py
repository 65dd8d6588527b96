"""MLflow, the record that people read: one writer thread in the driver, the reader, and the pages.

No other package knows MLflow; nothing here may end a sweep that is running.
"""

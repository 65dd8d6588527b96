"""The command line: one file a group of verbs. Nothing heavy is imported before a verb runs."""

from sweeps.cli.inspect_call import inspect as inspect_picture
from sweeps.cli.main import main

__all__ = ["inspect_picture", "main"]

"""The command line: one file a group of verbs. Nothing heavy is imported before a verb runs."""

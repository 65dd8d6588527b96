"""Folder on the search path of programs that use W&B: its module `wandb` is found before an installed one."""

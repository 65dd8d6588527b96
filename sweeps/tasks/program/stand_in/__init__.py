"""Folder on the search path of programs that use W&B: its package `wandb` is found before an installed one."""

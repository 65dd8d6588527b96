"""A script as a task: `program: train.py` in a sweep's file. Each trial is a process of its own."""

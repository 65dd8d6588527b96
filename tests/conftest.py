"""What holds for every test."""

import os

# A process of pytest-xdist is given 80: this project takes that for a person's wish, and lines for fewer characters.
os.environ.pop("COLUMNS", None)

"""`python -m sweeps` where the command itself is not installed: in a Ray job, whose code has travelled."""

from __future__ import annotations

from sweeps.cli import main

if __name__ == "__main__":
    main()

"""Print the share of mutants that the tests killed, by module. Run by `make mutants`, after mutmut.

    python benchmarks/mutants.py

Exits with 1 if less than 90 % of all were killed.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

MUTANTS = Path("mutants")
GOAL = 0.9
SURVIVED, NOT_TESTED, NOT_RUN = (0,), (5, 33), (None, 2)
"""Exit codes that mutmut stores. All others are kills: a failing test, a timeout, a crash, an error of mypy."""


def main() -> None:
    total: Counter[str] = Counter()
    print(f"{'module':40} {'killed':>7} {'of':>6} {'share':>8}")
    for path in sorted(MUTANTS.rglob("*.meta")):
        counts: Counter[str] = Counter()
        for code in json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"].values():
            if code in NOT_RUN:
                counts["not run"] += 1
            else:
                counts["of"] += 1
                counts["killed"] += code not in SURVIVED + NOT_TESTED
        if counts:
            print(_line(str(path.relative_to(MUTANTS).with_suffix("")), counts))
            total += counts
    print(_line("all", total))
    if total["not run"]:
        print(f"{total['not run']} were not run. Run the same command again to resume.")
    sys.exit(not total["of"] or total["killed"] < GOAL * total["of"])


def _line(name: str, counts: Counter[str]) -> str:
    share = f"{100 * counts['killed'] / counts['of']:.1f} %" if counts["of"] else ""
    return f"{name:40} {counts['killed']:>7} {counts['of']:>6} {share:>8}"


if __name__ == "__main__":
    main()

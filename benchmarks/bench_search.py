"""Searches on tables of learning curves against those of other tools, as `rivals.py` compares them.

The tables kept for the judgement are run by `rivals.py` alone, once; here their courses are read from its cache.

    python benchmarks/bench.py --only search
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rivals
from replay_tables import COLLECTIONS

SEEDS = 50
COLLECTIONS_TO_RUN = ("taskset", "lcbench-tuning", "own")
JUDGED = "lcbench-judged"
QUICK_METHODS = (rivals.FULL_RANDOM, "random, pause")


def measure(*, quick: bool) -> dict[str, Any]:
    """Return the summary of each collection whose tables are here."""
    options = rivals.parser().parse_args(
        ["--seeds", "2" if quick else str(SEEDS), "--trainings", "4" if quick else "20"]
    )
    if quick:
        options.methods = list(QUICK_METHODS)
    elif (options.environments / "syne").exists():
        options.methods = [*rivals.METHODS, *rivals.FOREIGN]
    found = []
    for collection in ("own",) if quick else COLLECTIONS_TO_RUN:
        if has_tables(collection):
            found.append(rivals.compared(options, collection))
    if not quick and (options.cache / JUDGED).exists():
        options.cached = True
        found.append(rivals.compared(options, JUDGED))
    return {"collections": found}


def has_tables(collection: str) -> bool:
    """Return whether the curves of a collection are on this machine."""
    try:
        return next(COLLECTIONS[collection](), None) is not None
    except FileNotFoundError:
        return False


def table(found: Mapping[str, Any]) -> str:
    """Return a table per collection."""
    return "\n\n".join(rivals.markdown(each) for each in found["collections"]) or "No table of curves was found."

"""Measure the project against other tools, and write the tables of docs/performance.md.

Each part is measured in turns with what it is compared with, and written to benchmarks/bench.json when it ends. The
machine should do nothing else meanwhile; `search` replays curves and needs no quiet.

    python benchmarks/bench.py                               # all parts: hours
    python benchmarks/bench.py --only overhead training
    python benchmarks/bench.py --quick --out build/bench     # a smoke run of each part, with a copy of the page
    python benchmarks/bench.py --render                      # only write the page again
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import bench_leaderboard
import bench_memory
import bench_overhead
import bench_search
import bench_training
import bench_whole
import bench_writer
from machine import about

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
PARTS: Mapping[str, ModuleType] = {
    "overhead": bench_overhead,
    "training": bench_training,
    "writer": bench_writer,
    "memory": bench_memory,
    "leaderboard": bench_leaderboard,
    "whole": bench_whole,
    "search": bench_search,
}
"""Modules with `measure(quick)`, which returns what JSON can hold, and `table(found)`, which returns Markdown."""
_TABLE = re.compile(r"(?<=<!-- table )(\w+) -->\n.*?(?=<!-- end -->)", re.DOTALL)


def rendered(page: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a page with the table of each measured part between its marks; others stay."""

    def table(found: re.Match[str]) -> str:
        name = found[1]
        if name not in results:
            return found[0]
        result = results[name]
        where = (
            f"Measured on {result['machine']}, {result['date']}: {result['versions']}, in {result['minutes']:.0f} min."
        )
        if result["quick"]:
            where = "A smoke run, not a measurement. " + where
        return f"{name} -->\n{PARTS[name].table(result['found'])}\n\n{where}\n"

    return _TABLE.sub(table, page)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    parser.add_argument("--quick", action="store_true", help="run each part for seconds, to see that it works")
    parser.add_argument("--render", action="store_true", help="measure nothing, write the page from bench.json")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of bench.json")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to render; with another --out, a copy in it")
    options = parser.parse_args(arguments)
    if options.quick and options.out == HERE:
        parser.error("--quick measures nothing: give --out FOLDER, so that benchmarks/bench.json keeps its results")
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "bench.json"
    results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    page = options.page
    if options.out != HERE:
        page = options.out / options.page.name
        shutil.copy(options.page, page)
    for name in () if options.render else options.only:
        print(f"{name}: {(PARTS[name].__doc__ or '').splitlines()[0]}", file=sys.stderr, flush=True)
        started = time.perf_counter()
        found = PARTS[name].measure(quick=options.quick)
        minutes = (time.perf_counter() - started) / 60
        results[name] = {**about(), "minutes": minutes, "quick": options.quick, "found": found}
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(PARTS[name].table(found), flush=True)
    page.write_text(rendered(page.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main()

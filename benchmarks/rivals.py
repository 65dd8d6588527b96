"""Compare searches by the epochs that they train until they hand over what a random search in full hands over.

Each search runs on tables of learning curves, on a simulated clock with 4 slots, until it has trained as many epochs as
the random search: `--trainings` trials in full. It would hand over the complete trial with the best observed value;
what counts is its true value, as regret: 0 for the best configuration of a table, 1 for the median one. Printed are
interquartile means over tables and seeds, and 95 % intervals (bootstrap over the seeds of each table, the same ones for
all methods). Courses are kept in `--cache`, so that the same command resumes, and more seeds or methods add to it.

    python benchmarks/rivals.py --install                         # Syne Tune and SMAC, in environments of their own
    python benchmarks/rivals.py --tables taskset lcbench-tuning --seeds 20
    python benchmarks/rivals.py --tables taskset --methods "random, in full" "bayes, pause" --seeds 50
    python benchmarks/rivals.py --tables lcbench-judged --seeds 50          # once, after the choice
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from machine import about
from numpy.typing import NDArray
from replay_tables import COLLECTIONS, Table
from rival_clock import Course
from rival_methods import FOREIGN, FULL_RANDOM, METHODS, RAY, plain

from sweeps.core.formatting import plural

HERE = Path(__file__).parent
SLOTS = 4
STEP = 0.1
"""Of the grid on which regret is read, in trainings."""
RESAMPLES = 1_000
SHARES = (1 / 8, 1 / 4, 1 / 2, 1)
"""Shares of the budget at which regret is printed."""
ENVIRONMENTS: Mapping[str, Sequence[str]] = {
    "syne": ("syne-tune==0.16.0", "huggingface_hub"),
    "smac": ("smac==2.4.1",),
}


def install(folder: Path) -> None:
    """Create the environments of the tools that cannot share this one."""
    for name, packages in ENVIRONMENTS.items():
        venv.create(folder / name, with_pip=True)
        subprocess.run([folder / name / "bin" / "python", "-m", "pip", "install", "--quiet", *packages], check=True)


@functools.lru_cache(maxsize=1)
def _tables(collection: str) -> dict[str, Table]:
    return {table.name: table for table in COLLECTIONS[collection]()}


@dataclass(frozen=True, kw_only=True)
class Job:
    """The searches of one table by one method under the seeds that are missing."""

    collection: str
    table: str
    method: str
    budget: int
    seeds: tuple[int, ...]
    cache: Path
    environments: Path

    @property
    def file(self) -> Path:
        return self.cache / self.table.replace(" ", "_").replace(",", "") / f"{self.method}.json".replace(" ", "_")

    def known(self) -> dict[int, Course]:
        """Return the courses in the cache that reach the budget."""
        if not self.file.exists():
            return {}
        content = json.loads(self.file.read_text(encoding="utf-8"))
        return (
            {int(seed): each for seed, each in content["courses"].items()} if content["budget"] >= self.budget else {}
        )

    def run(self) -> float:
        """Run the missing searches and add them to the cache. Return the seconds."""
        started = time.perf_counter()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        found = self.known()
        missing = [seed for seed in self.seeds if seed not in found]
        table = _tables(self.collection)[self.table]
        if self.method in FOREIGN:
            found |= dict(zip(missing, self._foreign(table, missing), strict=True))
        else:
            arrays = plain(table)
            for seed in missing:
                found[seed] = METHODS[self.method](table, arrays, SLOTS, self.budget, seed)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_suffix(".new")
        temporary.write_text(json.dumps({"budget": self.budget, "courses": found}), encoding="utf-8")
        temporary.replace(self.file)
        return time.perf_counter() - started

    def _foreign(self, table: Table, seeds: Sequence[int]) -> list[Course]:
        environment, name = FOREIGN[self.method]
        with tempfile.TemporaryDirectory() as folder:
            given, out = Path(folder) / "table.npz", Path(folder) / "courses.json"
            plain(table).save(given)
            command = [
                self.environments / environment / "bin" / "python",
                HERE / f"rival_{environment}.py",
                given,
                name,
            ]
            options = ["--slots", SLOTS, "--budget", self.budget, "--seeds", *seeds, "--out", out]
            done = subprocess.run(
                [str(each) for each in (*command, *options)],
                env=os.environ | {"TMPDIR": folder},
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise SystemExit(f"{self.method} failed on {self.table}:\n{done.stderr[-2000:]}")
            courses: list[Course] = json.loads(out.read_text(encoding="utf-8"))
            return courses


def regrets(courses: Sequence[Course], table: Table, trainings: float) -> NDArray[np.float64]:
    """Return the regret at each step of the grid, seeds × steps. It is 1 before a trial was complete."""
    grid = np.arange(1, round(trainings / STEP) + 1) * STEP * table.epochs + 1e-9
    found = np.ones((len(courses), len(grid)))
    for row, course in zip(found, courses, strict=True):
        for epochs, _, value in course:
            row[grid >= epochs] = table.regret(value)
    return found


def interquartile_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the middle half along the first axis, the ends weighted by their share."""
    count = len(values)
    ranks = np.arange(count)
    weights = np.clip(np.minimum(ranks + 1, 3 * count / 4) - np.maximum(ranks, count / 4), 0, 1)
    return np.asarray(np.tensordot(weights / weights.sum(), np.sort(values, axis=0), axes=1))


def first(curve: NDArray[np.float64], target: float) -> float:
    """Return the trainings after which a curve of regret is at or below a target; infinite if it never is."""
    reached = np.nonzero(curve <= target + 1e-12)[0]
    return float((reached[0] + 1) * STEP) if len(reached) else math.inf


def summary(found: Mapping[str, Sequence[NDArray[np.float64]]], *, trainings: float) -> dict[str, dict[str, Any]]:
    """Return each method's regrets and ratios.

    Args:
        found: Method to the regrets of each table, seeds × steps. A method may have fewer seeds than others, or, if it
            was not run on it, none in a table: it is compared with the random search under the seeds that both have.
        trainings: Trials of the random search.
    """
    result = {}
    chance = np.random.default_rng(0)
    most = max(len(each) for each in found[FULL_RANDOM])
    draws = chance.random((RESAMPLES, len(found[FULL_RANDOM]), most))
    for method, tables in found.items():
        used = [index for index, each in enumerate(tables) if len(each)]
        if not used:
            continue

        def stacked(name: str, picks: Sequence[NDArray[np.int64]], used: Sequence[int] = used) -> NDArray[np.float64]:
            return np.concatenate([found[name][index][pick] for index, pick in zip(used, picks, strict=True)])

        counts = [min(len(found[name][index]) for name in (method, FULL_RANDOM)) for index in used]
        with_ray = RAY in found and all(
            len(found[RAY][index]) >= count for index, count in zip(used, counts, strict=True)
        )

        def measures(
            picks: Sequence[NDArray[np.int64]], method: str = method, with_ray: bool = with_ray, stacked: Any = stacked
        ) -> list[float]:
            curve = interquartile_mean(stacked(method, picks))
            target = float(interquartile_mean(stacked(FULL_RANDOM, picks))[-1])
            needed = first(curve, target)
            ray = first(interquartile_mean(stacked(RAY, picks)), target) if with_ray else math.nan
            at = [float(curve[round(share * trainings / STEP) - 1]) for share in SHARES]
            # Ray's search that does not reach the target needs more than the whole budget.
            return [*at, needed / trainings, needed / min(ray, trainings) if with_ray else math.nan]

        point = measures([np.arange(count) for count in counts])
        drawn = np.array(
            [
                measures([(draw[i, :count] * count).astype(int) for i, count in zip(used, counts, strict=True)])
                for draw in draws
            ]
        )
        low, high = np.quantile(drawn, (0.025, 0.975), axis=0, method="nearest")
        intervals = [[value, bottom, top] for value, bottom, top in zip(point, low, high, strict=True)]
        quarter = [
            first(interquartile_mean(found[method][index]), float(interquartile_mean(found[FULL_RANDOM][index])[-1]))
            <= trainings / 4
            for index in used
        ]
        result[method] = {
            "tables": len(used),
            "seeds": min(counts),
            "regret": {f"{share * trainings:g}": each for share, each in zip(SHARES, intervals, strict=False)},
            "of_random": intervals[-2],
            "of_ray": intervals[-1],
            "tables_within_a_quarter": sum(quarter),
        }
    return result


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table of a collection's summary."""
    methods, trainings = result["methods"], result["trainings"]
    budgets = list(next(iter(methods.values()))["regret"])
    head = [
        "method",
        "seeds",
        *(f"regret, {budget}" for budget in budgets),
        "epochs of random",
        "epochs of Ray",
        "tables ≤ 1/4",
    ]
    lines = [
        f"{plural(result['tables'], 'table')} of {result['collection']}, {result['slots']} slots; budgets in full "
        f"trainings, random in full: {trainings:g}. {result['date']}, {result['versions']}.",
        "",
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
    ]
    for method, each in methods.items():
        cells = [f"{value:.3f} ({low:.3f} to {high:.3f})" for value, low, high in each["regret"].values()]
        ratios = [_ratio(*each[name]) for name in ("of_random", "of_ray")]
        within = f"{each['tables_within_a_quarter']} of {each['tables']}"
        lines.append(f"| {' | '.join([method, str(each['seeds']), *cells, *ratios, within])} |")
    return "\n".join(lines)


def _ratio(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return ""
    shown = ["not reached" if math.isinf(each) else f"{each:.2f}" for each in (value, low, high)]
    return shown[0] if low == high else f"{shown[0]} ({shown[1]} to {shown[2]})"


def compared(options: argparse.Namespace, collection: str) -> dict[str, Any]:
    """Run what is missing of a collection, and return its summary."""
    tables = _tables(collection)
    if not tables:
        raise SystemExit(
            f"{collection} has no table: the curves are missing, or too few (see benchmarks/replay_tables.py)."
        )
    # On a small table the random search would try most of the configurations.
    trainings = min(options.trainings, min(len(table.curves) for table in tables.values()) // 4)
    cache = options.cache / collection
    jobs = [
        Job(
            collection=collection,
            table=name,
            method=method,
            budget=math.ceil(trainings * table.epochs),
            seeds=tuple(range(options.seeds)),
            cache=cache,
            environments=options.environments,
        )
        for method in options.methods
        for name, table in tables.items()
    ]
    missing = [job for job in jobs if not set(job.seeds) <= set(job.known())]
    if missing and not options.cached:
        with ProcessPoolExecutor(options.processes) as pool:
            running = {pool.submit(job.run): job for job in missing}
            for done, future in enumerate(as_completed(running), start=1):
                job = running[future]
                print(
                    f"{done} of {len(missing)}: {job.method}, {job.table}: {future.result():.0f} s",
                    file=sys.stderr,
                    flush=True,
                )
    found: dict[str, list[NDArray[np.float64]]] = {method: [] for method in options.methods}
    for job in jobs:
        known = job.known()
        # The seeds 0, 1, 2, … without a gap: pairs are by position.
        courses = [known[seed] for seed in job.seeds if seed in known]
        found[job.method].append(regrets(courses, tables[job.table], trainings))
    methods = summary(
        {method: each for method, each in found.items() if any(len(one) for one in each)}, trainings=trainings
    )
    return {
        "collection": collection,
        "tables": len(tables),
        "slots": SLOTS,
        "trainings": trainings,
        "methods": methods,
        **about(),
    }


def parser() -> argparse.ArgumentParser:
    """Return the options of the command."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--tables", nargs="+", choices=COLLECTIONS, default=["taskset"])
    found.add_argument(
        "--methods",
        nargs="+",
        choices=[*METHODS, *FOREIGN],
        default=[*METHODS],
        help="default: those that need no other environment",
    )
    found.add_argument("--seeds", type=int, default=20)
    found.add_argument(
        "--trainings", type=float, default=20, help="trials of the random search in full; at most a quarter of a table"
    )
    found.add_argument("--processes", type=int, default=1)
    found.add_argument("--cache", type=Path, default=Path("build/rivals"), help="folder of the courses")
    found.add_argument("--cached", action="store_true", help="run nothing: summarize the courses in the cache")
    found.add_argument("--environments", type=Path, default=Path.home() / ".cache" / "cifar-sweeps" / "rivals")
    found.add_argument("--install", action="store_true", help="create the environments of Syne Tune and SMAC, and stop")
    found.add_argument("--out", type=Path, help="JSON file of the summary; a table is written next to it as .md")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    if options.install:
        install(options.environments)
        return
    if FULL_RANDOM not in options.methods:
        options.methods = [FULL_RANDOM, *options.methods]
    results = [compared(options, collection) for collection in options.tables]
    text = "\n\n".join(markdown(result) for result in results)
    print(text)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")
        options.out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""`sweeps doctor`: every check in turn and, where that is asked for, the mending of what it found."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cifar_core.common.errors import UserError
from sweeps.core.errors import SweepError
from sweeps.system.machine import machine_and_versions
from sweeps.upkeep.checkpoints import check_checkpoints
from sweeps.upkeep.finding import Finding, Result
from sweeps.upkeep.inventory import Inventory
from sweeps.upkeep.journals import check_drivers, check_journals
from sweeps.upkeep.machine import check_data, check_disk, check_ray, check_runs_folder, check_shared_memory
from sweeps.upkeep.record import check_record, check_record_answers
from sweeps.upkeep.versions import PACKAGE, check_versions

CHECKS: Mapping[str, Callable[[Inventory], Result]] = {
    "runs folder": check_runs_folder,
    "disk": check_disk,
    "shared memory": check_shared_memory,
    "versions": check_versions,
    "data": check_data,
    "Ray": check_ray,
    "drivers": check_drivers,
    "journals": check_journals,
    "MLflow": check_record_answers,
    "record": check_record,
    "checkpoints": check_checkpoints,
}
"""In this order: a journal is whole before the record is compared with it, and both before a checkpoint is judged."""


class Verdict(StrEnum):
    """What a line says."""

    OK = "ok"
    REMARK = "note"
    PROBLEM = "problem"
    MENDED = "mended"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of what the doctor says."""

    verdict: Verdict
    check: str
    text: str
    """Without a line break."""


def examine(runs: Path, *, fix: bool = False) -> Iterator[Line]:
    """Look at everything, and yield what is found: a line a check, or one for each thing that is not as it should be.

    Args:
        runs: the runs folder.
        fix: mend what can be mended. What then is a problem still is said after it. Without it nothing is written.
    """
    inventory = Inventory(runs)
    for name, check in CHECKS.items():
        result = _result(check, inventory)
        if fix and any(finding.mend for finding in result.findings):
            yield from (_mended(name, finding) for finding in result.findings if finding.mend)
            # Looked at again: nothing counts as mended because somebody tried.
            inventory = Inventory(runs)
            result = _result(check, inventory)
        if not any(finding.is_problem for finding in result.findings) and result.well:
            yield _line(Verdict.OK, name, result.well)
        for finding in result.findings:
            verdict = Verdict.PROBLEM if finding.is_problem else Verdict.REMARK
            yield _line(verdict, name, finding.text)


def report(lines: Sequence[Line]) -> dict[str, object]:
    """Return what was found, with the machine and the versions it was found on, as JSON takes it."""
    try:
        own = version(PACKAGE)
    except PackageNotFoundError:
        own = "not installed"
    environment = {PACKAGE: own, "system": platform.platform()} | machine_and_versions()
    return {"environment": environment, "checks": [asdict(line) for line in lines]}


def _result(check: Callable[[Inventory], Result], inventory: Inventory) -> Result:
    try:
        return check(inventory)
    except (SweepError, UserError, OSError) as error:
        return Result(well="", findings=[Finding(text=f"it cannot be looked at: {error}")])


def _mended(name: str, finding: Finding) -> Line:
    assert finding.mend is not None
    try:
        return _line(Verdict.MENDED, name, finding.mend())
    except (SweepError, UserError, OSError) as error:
        return _line(Verdict.REMARK, name, f"could not be mended: {error}")


def _line(verdict: Verdict, check: str, text: str) -> Line:
    return Line(verdict=verdict, check=check, text=" ".join(line.strip() for line in text.splitlines()))

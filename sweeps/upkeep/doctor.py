"""`sweeps doctor`: runs all checks and, with `--fix`, repairs their findings."""

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
from sweeps.upkeep.record import check_record, check_record_availability
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
    "MLflow": check_record_availability,
    "record": check_record,
    "checkpoints": check_checkpoints,
}
"""In this order: journals are repaired before the record is compared with them, and both before checkpoints."""


class Verdict(StrEnum):
    """The verdict of a line."""

    OK = "ok"
    REMARK = "note"
    PROBLEM = "problem"
    REPAIRED = "repaired"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of output."""

    verdict: Verdict
    check: str
    text: str
    """Without line breaks."""


def examine(runs: Path, *, fix: bool = False) -> Iterator[Line]:
    """Run all checks; yield one line per check without problems, and one per finding.

    Args:
        runs: The runs folder.
        fix: Repair findings if possible, then check again. Without it nothing is written.
    """
    inventory = Inventory(runs)
    for name, check in CHECKS.items():
        result = _result(check, inventory)
        if fix and any(finding.repair for finding in result.findings):
            yield from (_repaired(name, finding) for finding in result.findings if finding.repair)
            # Checked again, since a repair may have failed.
            inventory = Inventory(runs)
            result = _result(check, inventory)
        if not any(finding.is_problem for finding in result.findings) and result.ok_text:
            yield _line(Verdict.OK, name, result.ok_text)
        for finding in result.findings:
            verdict = Verdict.PROBLEM if finding.is_problem else Verdict.REMARK
            yield _line(verdict, name, finding.text)


def report(lines: Sequence[Line]) -> dict[str, object]:
    """Return the lines with machine and versions, for JSON."""
    try:
        installed = version(PACKAGE)
    except PackageNotFoundError:
        installed = "not installed"
    environment = {PACKAGE: installed, "system": platform.platform()} | machine_and_versions()
    return {"environment": environment, "checks": [asdict(line) for line in lines]}


def _result(check: Callable[[Inventory], Result], inventory: Inventory) -> Result:
    try:
        return check(inventory)
    except (SweepError, UserError, OSError) as error:
        return Result(ok_text="", findings=[Finding(text=f"the check failed: {error}")])


def _repaired(name: str, finding: Finding) -> Line:
    assert finding.repair is not None
    try:
        return _line(Verdict.REPAIRED, name, finding.repair())
    except (SweepError, UserError, OSError) as error:
        return _line(Verdict.REMARK, name, f"the repair failed: {error}")


def _line(verdict: Verdict, check: str, text: str) -> Line:
    return Line(verdict=verdict, check=check, text=" ".join(line.strip() for line in text.splitlines()))

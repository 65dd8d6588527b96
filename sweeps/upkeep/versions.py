"""Check of what is installed against what this project is tested with, and against what it needs."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion

from sweeps.core.formatting import plural
from sweeps.upkeep.finding import Finding, Result, remark
from sweeps.upkeep.inventory import Inventory

PACKAGE = "cifar-sweeps"
_CHECKOUT = Path(__file__).parents[2]
LOCK = "requirements.lock"


def check_versions(inventory: Inventory) -> Result:
    """Compare what is installed with `requirements.lock` of the source checkout, and with the package's needs."""
    return versions_against(_CHECKOUT)


def versions_against(checkout: Path) -> Result:
    """Compare what is installed with what a folder asks for.

    Args:
        checkout: the project's source; where it is none, what the installed package says of itself is taken.
    """
    python, needs = _needs(checkout)
    advice = "`make setup`, or `pip install --constraint requirements.lock` it"
    findings = [
        Finding(text=f"{need.name} {found or 'is not'} installed, {need} is needed: {advice}")
        for need, found in _compared(needs)
        if not _meets(need, found)
    ]
    if not _meets(Requirement(f"python{python}"), platform.python_version()):
        text = f"Python {platform.python_version()} is installed, {python} is needed: make the environment anew"
        findings.append(Finding(text=text))
    well = f"{plural(len(needs), 'requirement')} met"
    lock = checkout / LOCK
    if (checkout / "pyproject.toml").is_file() and lock.is_file():
        pins = [(pin, found) for pin, found in _compared(lock.read_text(encoding="utf-8").splitlines()) if found]
        others = [
            f"{pin.name} {found}, not {str(pin.specifier).lstrip('=')}" for pin, found in pins if not _meets(pin, found)
        ]
        if others:
            text = f"{plural(len(others), 'version')} other than those it is tested with: {', '.join(others)}"
            findings.append(remark(text))
        well += f", {plural(len(pins) - len(others), 'version')} as in {LOCK}"
    return Result(well=well, findings=findings)


def _needs(checkout: Path) -> tuple[str, list[str]]:
    """Return which Python is needed, and which packages."""
    project = checkout / "pyproject.toml"
    if project.is_file():
        declared = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
        if declared.get("name") == PACKAGE:
            return declared.get("requires-python", ""), list(declared.get("dependencies", []))
    try:
        installed = metadata(PACKAGE)
    except PackageNotFoundError:
        return "", []
    return installed["Requires-Python"] or "", list(installed.get_all("Requires-Dist") or [])


def _compared(lines: Iterable[str]) -> Iterator[tuple[Requirement, str | None]]:
    """Yield each requirement that holds here, with the version that is installed; None where none is."""
    for line in lines:
        try:
            need = Requirement(line.partition("#")[0].strip())
        except InvalidRequirement:
            continue
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            try:
                yield need, version(need.name)
            except PackageNotFoundError:
                yield need, None


def _meets(need: Requirement, found: str | None) -> bool:
    """Return whether a version will do; `2.14.1+cpu` is 2.14.1."""
    try:
        return found is not None and need.specifier.contains(found, prereleases=True)
    except InvalidVersion:
        return False

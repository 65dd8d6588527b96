"""Check of what is installed against what this project is tested with, and against what it needs."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from sweeps.formatting import plural
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
    findings = [Finding(text=text) for text in _violations(python, needs)]
    lock = checkout / LOCK
    if not (checkout / "pyproject.toml").is_file() or not lock.is_file():
        return Result(well=f"{plural(len(needs), 'requirement')} met", findings=findings)
    pinned = dict(_pins(lock.read_text(encoding="utf-8")))
    installed = {name: found for name in pinned if (found := _installed(name)) is not None}
    others = {name: found for name, found in installed.items() if not _same(found, pinned[name])}
    if others:
        listed = ", ".join(f"{name} {found}, not {pinned[name]}" for name, found in others.items())
        findings.append(remark(f"{plural(len(others), 'version')} other than those it is tested with: {listed}"))
    well = f"{plural(len(needs), 'requirement')} met, {plural(len(installed) - len(others), 'version')} as in {LOCK}"
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


def _violations(python: str, needs: list[str]) -> Iterator[str]:
    if not SpecifierSet(python).contains(platform.python_version(), prereleases=True):
        yield f"Python {platform.python_version()} is installed, {python} is needed: make the environment anew"
    for line in needs:
        try:
            need = Requirement(line)
        except InvalidRequirement:
            continue
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        found = _installed(need.name)
        advice = "`make setup`, or `pip install --constraint requirements.lock` it"
        if found is None:
            yield f"{need.name} is not installed, {need} is needed: {advice}"
        elif not _meets(need, found):
            yield f"{need.name} {found} is installed, {need} is needed: {advice}"


def _meets(need: Requirement, found: str) -> bool:
    try:
        return need.specifier.contains(found, prereleases=True)
    except InvalidVersion:
        return False


def _same(found: str, pin: str) -> bool:
    """Return whether two versions are one, whatever it was built for: `2.14.1+cpu` is 2.14.1."""
    try:
        return Version(found).public == Version(pin).public
    except InvalidVersion:
        return found == pin


def _pins(lock: str) -> Iterator[tuple[str, str]]:
    for line in lock.splitlines():
        name, equals, pin = line.partition("#")[0].strip().partition("==")
        if equals:
            yield name, pin


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

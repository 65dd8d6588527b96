"""Check of the installed versions against the required and the tested ones."""

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
    """Compare the installed versions with the package's requirements and with `requirements.lock` of the checkout."""
    return versions_against(_CHECKOUT)


def versions_against(checkout: Path) -> Result:
    """Compare the installed versions with the requirements of a checkout.

    Args:
        checkout: The project's source; if it is not one, the metadata of the installed package are used.
    """
    python, requirements = _requirements(checkout)
    lock = checkout / LOCK
    findings = [
        Finding(text=f"{each.name} {found or 'is not'} installed, {each} is required. {_advice(each, lock)}")
        for each, found in _compared(requirements)
        if not _meets(each, found)
    ]
    if not _meets(Requirement(f"python{python}"), platform.python_version()):
        text = f"Python {platform.python_version()} is installed, {python} is required. Recreate the environment"
        findings.append(Finding(text=text))
    ok_text = f"{plural(len(requirements), 'requirement')} met"
    if (checkout / "pyproject.toml").is_file() and lock.is_file():
        pins = [(pin, found) for pin, found in _compared(lock.read_text(encoding="utf-8").splitlines()) if found]
        others = [
            f"{pin.name} {found}, not {str(pin.specifier).lstrip('=')}" for pin, found in pins if not _meets(pin, found)
        ]
        if others:
            text = f"{plural(len(others), 'version')} different from the tested ones: {', '.join(others)}"
            findings.append(remark(text))
        ok_text += f", {plural(len(pins) - len(others), 'version')} as in {LOCK}"
    return Result(ok_text=ok_text, findings=findings)


def _advice(requirement: Requirement, lock: Path) -> str:
    if lock.is_file():
        return f"Run `make setup`, or `pip install --constraint {LOCK} {requirement.name}`"
    return f"Run `pip install '{requirement}'`"


def _requirements(checkout: Path) -> tuple[str, list[str]]:
    """Return the required Python version and packages."""
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
    """Yield each requirement that applies to this machine with the installed version; None if not installed."""
    for line in lines:
        try:
            requirement = Requirement(line.partition("#")[0].strip())
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            try:
                yield requirement, version(requirement.name)
            except PackageNotFoundError:
                yield requirement, None


def _meets(requirement: Requirement, found: str | None) -> bool:
    """Return whether a version fulfils a requirement; `2.14.1+cpu` counts as 2.14.1."""
    try:
        return found is not None and requirement.specifier.contains(found, prereleases=True)
    except InvalidVersion:
        return False

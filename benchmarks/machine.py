"""The machine, the versions and the date of a measurement."""

from __future__ import annotations

import os
import platform
from datetime import date
from importlib import metadata
from pathlib import Path

PACKAGES = ("numpy", "torch", "ray", "optuna", "mlflow")


def cpu() -> str:
    """Return the model of the processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def about() -> dict[str, str]:
    """Return what is written with a measured number."""
    versions = {name: metadata.version(name) for name in PACKAGES}
    return {
        "machine": f"{len(os.sched_getaffinity(0))} cores of {cpu()}",
        "versions": ", ".join(
            f"{name} {version}" for name, version in {"Python": platform.python_version(), **versions}.items()
        ),
        "date": date.today().isoformat(),
    }

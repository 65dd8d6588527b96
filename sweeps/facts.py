"""Where and with what something was run."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sweeps.cores import allowed_cores


def run_facts() -> dict[str, str]:
    """Return commit, versions and user, as the record keeps them with every run."""
    facts = {"git_sha": _git_sha()}
    for package in ("torch", "ray", "optuna", "mlflow"):
        with contextlib.suppress(PackageNotFoundError):
            facts[f"version.{package}"] = version(package)
    facts["user"] = os.environ.get("USER", "")
    return {name: value for name, value in facts.items() if value}


def _git_sha() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def machine_facts() -> dict[str, str]:
    """Return what a page of results says of the machine and the versions."""
    cores = allowed_cores()
    facts = {
        "machine": f"{_processor()}, {len(cores)} core{'s' if len(cores) != 1 else ''}",
        "Python": platform.python_version(),
    }
    return facts | {name.removeprefix("version."): value for name, value in run_facts().items() if name != "user"}


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

"""What a driver tells Ray when it connects to a cluster, so that every worker imports the code that has travelled."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray.job_config import JobConfig

from sweeps.execution.travelling_code import modules_in, stage_code, stage_own_code


def connection_options(folder: Path, *, networks: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of `ray.init` with which the code travels.

    As modules, and not as the workers' working folder: that is unpacked anew by each node, also where nodes of one
    machine share it and somebody works in it.

    Args:
        folder: where the code is put together, unless it is there already.
        networks: of the user's own, `module:Class`.

    Raises:
        SweepError: a network's code is too large to travel, or cannot be read.
    """
    if not folder.exists():
        stage_code(folder)
        stage_own_code(folder, networks=networks)
    # Of a driver that is a job itself: what this sends takes the place of the modules that the job was sent with.
    os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] = "1"
    return {"runtime_env": {"py_modules": modules_in(folder)}, "job_config": _OnlyWhatTravels()}


class _OnlyWhatTravels(JobConfig):
    """Keeps the driver's own folders off the path of the workers.

    Ray puts them before all others, unless the workers have a working folder: an old copy of the code that lies at the
    same place on a node would hide what has travelled.
    """

    def _runtime_env_has_working_dir(self) -> bool:
        return True

"""The code that is uploaded to a cluster: this project's packages and custom networks, as Ray's `py_modules`.

Installed packages (torch, Ray and others) must be present on every node.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cifar_core.common.errors import ModelError
from cifar_core.common.user_modules import UserModule, code_of, is_user_module, spec_of
from sweeps.core.errors import SweepError
from sweeps.system.compat import without_driver_folders

_PACKAGE_FOLDERS = tuple(Path(str(spec.origin)).parent for spec in map(find_spec, ("cifar_core", "sweeps")) if spec)
"""Folders of this project's packages, which are in different places on a node after an upload."""


def connection_options(networks: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of `ray.init` that upload the code.

    As modules and not as a working directory, which each node unpacks again, also if several nodes of one machine
    share it while a worker uses it.

    Args:
        networks: Custom networks, `module:Class`.

    Raises:
        SweepError: The code of a network cannot be read.
    """
    custom = [path for network in networks for path in custom_code_paths(network)]
    modules = [str(path) for path in dict.fromkeys([*_PACKAGE_FOLDERS, *custom])]
    # Code that git ignores is uploaded too, since it is part of a run's key.
    os.environ["RAY_RUNTIME_ENV_IGNORE_GITIGNORE"] = "1"
    # If the driver is a Ray job itself, these modules replace those of the job.
    os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] = "1"
    runtime_env = {"py_modules": modules, "excludes": [".?*", "__pycache__"]}
    return {"runtime_env": runtime_env, "job_config": without_driver_folders()}


def custom_code_paths(network: str) -> list[Path]:
    """Return the files and folders of a custom network and of the custom modules that it imports.

    For `nets:Tiny` these are `nets.py` or the package `nets`, and the imported modules, which are found by parsing the
    code without running it. Empty for a network that is installed or part of this project.

    Args:
        network: `module:Class`, which can be imported.

    Raises:
        SweepError: The code is not valid Python.
    """
    entry = spec_of(network.partition(":")[0])
    if entry is None or not is_user_module(entry):
        return []
    try:
        modules = code_of(network).modules
    except ModelError as error:
        raise SweepError(str(error)) from None
    return list(dict.fromkeys(_top_level_path(name, module) for name, module in modules.items()))


def _top_level_path(name: str, module: UserModule) -> Path:
    """Return the folder of a module's top-level package, or the module's file if it is in no package."""
    depth = name.count(".") + module.is_package
    return module.path.absolute().parents[depth - 1] if depth else module.path.absolute()

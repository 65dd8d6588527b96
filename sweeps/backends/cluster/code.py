"""The code that travels to a cluster: this project's packages and the user's own networks, as Ray's `py_modules`.

What is installed (torch, Ray and all else that `pip` brought) has to lie on every node already.
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

_OUR_FOLDERS = tuple(Path(str(spec.origin)).parent for spec in map(find_spec, ("cifar_core", "sweeps")) if spec)
"""Each by itself: where they have travelled they lie apart."""


def connection_options(networks: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of `ray.init` with which the code travels.

    As modules, and not as the workers' working folder: that is unpacked anew by each node, also where nodes of one
    machine share it and somebody works in it.

    Args:
        networks: of the user's own, `module:Class`.

    Raises:
        SweepError: a network's code cannot be read.
    """
    own = [path for network in networks for path in own_code(network)]
    modules = [str(path) for path in dict.fromkeys([*_OUR_FOLDERS, *own])]
    # Code that git ignores travels too: it is part of what a run's key stands for.
    os.environ["RAY_RUNTIME_ENV_IGNORE_GITIGNORE"] = "1"
    # Of a driver that is a job itself: what this sends takes the place of the modules that the job was sent with.
    os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] = "1"
    runtime_env = {"py_modules": modules, "excludes": [".?*", "__pycache__"]}
    return {"runtime_env": runtime_env, "job_config": without_driver_folders()}


def own_code(network: str) -> list[Path]:
    """Return the files and folders that a network of the user's own is made of, those it imports too.

    Of `nets:Tiny` that is `nets.py`, or the whole package `nets`, and whatever of the user's own its code imports,
    found by reading it: none of it is run. Empty where it is part of the environment: installed, or one of this
    project's.

    Args:
        network: `module:Class`, which can be imported.

    Raises:
        SweepError: its code is no Python.
    """
    entry = spec_of(network.partition(":")[0])
    if entry is None or not is_user_module(entry):
        return []
    try:
        modules = code_of(network).modules
    except ModelError as error:
        raise SweepError(str(error)) from None
    return list(dict.fromkeys(_top(name, module) for name, module in modules.items()))


def _top(name: str, module: UserModule) -> Path:
    """Return the file of a module that lies outside of any package, or the folder of the package around all others."""
    depth = name.count(".") + module.is_package
    return module.path.absolute().parents[depth - 1] if depth else module.path.absolute()

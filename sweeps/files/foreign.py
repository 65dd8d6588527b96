"""Recognise files of other tools, so that the error names the tool and the page with its words and ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

PAGE = "docs/how-to/coming-from.md"

_OPTUNA_STUDY = {"n_trials", "study_name", "sampler", "pruner", "direction", "directions"}
_ESSENTIAL = {"name", "method", "metric", "parameters", "base", "train", "program", "command"}
"""Keys of which a sweep file has at least one."""


def _is_hydra(content: Mapping[str, Any]) -> bool:
    is_run = any(re.match(r"hydra(?:[./]|$)", str(key)) for key in content) or _has_defaults(content)
    return is_run or any("_target_" in each for each in _mappings(content))


def _has_defaults(content: Mapping[str, Any]) -> bool:
    defaults = content.get("defaults")
    return isinstance(defaults, list) and all(isinstance(entry, str | Mapping) for entry in defaults)


def _is_katib(content: Mapping[str, Any]) -> bool:
    return str(content.get("apiVersion", "")).startswith("kubeflow.org/")


def _is_nni(content: Mapping[str, Any]) -> bool:
    old_and_new = {
        "searchSpace",
        "searchSpaceFile",
        "searchSpacePath",
        "trialCommand",
        "trialConcurrency",
        "maxTrialNum",
    }
    return bool(content.keys() & old_and_new) or any(_has_keys(each, "_type", "_value") for each in content.values())


def _is_determined(content: Mapping[str, Any]) -> bool:
    return "searcher" in content and bool(content.keys() & {"hyperparameters", "entrypoint", "bind_mounts"})


def _is_ray_tune(content: Mapping[str, Any]) -> bool:
    inner = [each for each in content.values() if isinstance(each, Mapping)]
    is_run = any(
        isinstance(each.get("config"), Mapping) and each.keys() & {"run", "stop"} for each in (content, *inner)
    )
    has_mode = content.get("mode") in ("min", "max") and bool(content.keys() & {"num_samples", "scheduler", "config"})
    if is_run or has_mode or content.keys() & {"param_space", "tune_config"}:
        return True
    return any(map(_is_grid, _mappings(content))) or _has_text(content, "tune.")


def _is_grid(mapping: Mapping[str, Any]) -> bool:
    return len(mapping) == 1 and isinstance(mapping.get("grid_search"), list)


def _is_optuna(content: Mapping[str, Any]) -> bool:
    study = content.keys() & _OPTUNA_STUDY
    if "optuna" in content or len(study) > 1 or (study and "search_space" in content) or _has_text(content, "suggest_"):
        return True
    return any(_has_keys(each, "low", "high") for each in _mappings(content))


def _has_keys(value: Any, *keys: str) -> bool:
    return isinstance(value, Mapping) and all(key in value for key in keys)


def _has_text(content: Mapping[str, Any], start: str) -> bool:
    values = (value for each in _mappings(content) for value in each.values())
    return any(isinstance(value, str) and value.startswith(start) for value in values)


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
    for part in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _mappings(part)


_TOOLS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "Katib": _is_katib,
    "Determined": _is_determined,
    "NNI": _is_nni,
    "Hydra": _is_hydra,
    "Ray Tune": _is_ray_tune,
    "Optuna": _is_optuna,
}


def foreign_file(content: Mapping[str, Any]) -> str | None:
    """Return an error for a file of another tool or purpose; None for a file of this project or of W&B."""
    if "parameters" in content and "method" in content:
        return None
    tool = next((tool for tool, is_of_tool in _TOOLS.items() if is_of_tool(content)), None)
    if tool is not None:
        return f"line 1: the file is one of {tool}, not a sweep file. {PAGE} shows how to write one"
    if not content.keys() & _ESSENTIAL:
        return f"line 1: the file has no key of a sweep file, such as parameters. `sweeps init` writes one; see {PAGE}"
    return None

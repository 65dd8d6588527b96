"""Translation of a W&B sweep file into a sweep file of this project. Pure: from keys and values to keys and values."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeGuard

from pydantic import ValidationError

from sweeps.files.metric_goal import is_better_if_larger
from sweeps.files.parameter import EXPONENTS, identity_of
from sweeps.files.quantiles import multiple, rounded
from sweeps.files.settings import MAX_NAME, METRICS, NAME
from sweeps.files.wandb_stopping import is_of_wandb, translated_stopping
from sweeps.files.yaml_file import set_path
from sweeps.tasks.image_names import metric_of_name, path_of_name, value_of_name
from sweeps.tasks.program.callee import PROGRAM, callee_index
from sweeps.tasks.registry import IMAGES

TRIALS = 20
"""Number of trials of a file without `run_cap`, which W&B would run until it is stopped."""
VALIDATION_SIZE = 5_000
_PROGRAM = ("program", "command")
_REQUIRED = ("method", "parameters")
"""Keys whose value may not be missing."""
_UNUSED = ("entity", "project", "controller", "apiVersion", "kind", "settings", "scheduler")
"""Keys of W&B's server and its agents."""
_JOBS = ("job", "image_uri", "imageuri")
"""Keys of what W&B Launch runs in a container."""
_UNSUPPORTED = {
    **dict.fromkeys(_JOBS, "W&B Launch runs it in a container. Write program: train.py, the script in it"),
}
_NOT_USED = "not used here"
_MARKS = {*_PROGRAM, *_UNUSED, *_UNSUPPORTED}
"""Top-level keys by which a file of W&B is recognised."""
_OURS = (
    *("base", "where", "seed", "limits", "resources", "replicates", "confirm", "keep", "start_with", "train", "epochs"),
    *("tensorboard", "notify", "storage", "study_storage"),
)
"""Top-level keys that W&B does not have."""
_KEYS = (
    *("name", "description", "method", "metric", "metrics", "parameters", "run_cap", "early_terminate"),
    *(*_PROGRAM, *_OURS),
)
"""Top-level keys with a meaning here."""
_SIMILAR = 0.75
"""Similarity of an unknown key to a known one from which it is a mistake, and no key of another program."""
_GOALS = {"max": "maximize", "maximise": "maximize", "min": "minimize", "minimise": "minimize"}
_METRIC_KEYS = ("impute", "impute_while_running")
_MARGIN = 1e-6
"""Share of a range."""
_STEP = 1
"""Step of a distribution whose name begins with `q_`, if W&B's file has none."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """A difference between a file of W&B and its translation."""

    key: str
    """Dotted key of the translation; that of the file for what was left out."""
    text: str
    """The difference, in words that follow the key."""
    is_left_out: bool = False
    """Whether the key of the file has no equivalent."""


@dataclass(kw_only=True)
class Translation:
    """A file's content as a sweep file of this project."""

    content: dict[str, Any]
    notes: list[Note] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    """Dotted key of the file to the reason for which it has no equivalent."""
    renamed: dict[str, str] = field(default_factory=dict)
    """Dotted key of the translation to that of the file, where they differ."""

    def note(self, key: str, text: str, *, is_left_out: bool = False) -> None:
        self.notes.append(Note(key=key, text=text, is_left_out=is_left_out))

    def leave_out(self, key: str, reason: str) -> None:
        self.errors[key] = reason
        self.note(key, reason, is_left_out=True)

    def lines(self) -> list[str]:
        """Return the notes as lines, those on keys of W&B's server in one."""
        unused = [note.key for note in self.notes if note.text == _NOT_USED]
        others = [f"{note.key}: {note.text}" for note in self.notes if note.text != _NOT_USED]
        return [*([f"not used here: {', '.join(unused)}"] if unused else []), *others]


def is_wandb(content: Mapping[str, Any]) -> bool:
    """Return whether a file is one of W&B: it has a key that only W&B has, or usual names instead of fields."""
    if content.keys() & _MARKS or is_of_wandb(content.get("early_terminate")):
        return True
    parameters = content.get("parameters")
    if not isinstance(parameters, Mapping):
        return False
    if any(_is_nested(each) for each in parameters.values()):
        return True
    if "train" in content:
        return False
    others = [str(name) for name in parameters if not _is_field(str(name))]
    return any(map(path_of_name, others)) or (bool(others) and not content.keys() & set(_OURS))


def translated(content: Mapping[str, Any], *, stem: str, built_in: bool = False) -> Translation:
    """Return the content of a W&B sweep file as that of a sweep file of this project.

    Args:
        content: the file's keys and values.
        stem: name of the file without its ending.
        built_in: search the built-in networks instead of running the program.
    """
    optional = {key: value for key, value in content.items() if value is not None or key in _REQUIRED}
    result = Translation(content=deepcopy(optional))
    runs_here = bool(set(_PROGRAM) & optional.keys())
    for key in [key for key in _UNSUPPORTED if key in optional and not (key in _JOBS and runs_here)]:
        del result.content[key]
        result.leave_out(key, _UNSUPPORTED[key])
    if built_in:
        for key in ("train", *_PROGRAM):
            result.content.pop(key, None)
    is_built_in = not result.content.keys() & {"train", *_PROGRAM}
    _drop_unused(result)
    _translate_name(result, stem=stem)
    _translate_method(result)
    _translate_command(result)
    _translate_parameters(result, names=path_of_name if is_built_in else None)
    _translate_metric(result, is_built_in=is_built_in)
    _translate_run_cap(result)
    _translate_early_terminate(result)
    if is_built_in:
        _add_validation(result)
    if result.content == content:  # a file of this project with a program: nothing differs
        result.notes = [note for note in result.notes if note.key != "method"]
    return result


def _drop_unused(result: Translation) -> None:
    others = [key for key in result.content if key not in _KEYS]
    unused = [key for key in others if key in _MARKS or not get_close_matches(key, _KEYS, cutoff=_SIMILAR)]
    for key in unused:
        del result.content[key]
        result.note(key, _NOT_USED, is_left_out=True)


def _translate_name(result: Translation, *, stem: str) -> None:
    name = result.content.get("name")
    if name is None:
        result.content = {"name": _slug(stem)} | {k: v for k, v in result.content.items() if k != "name"}
    elif not NAME.fullmatch(str(name)):
        result.content["name"] = _slug(str(name))
        result.note("name", f"{result.content['name']} instead of {str(name)!r}")


def _slug(text: str) -> str:
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:MAX_NAME].rstrip("-._")
    return kept or "sweep"


def _translate_method(result: Translation) -> None:
    method = result.content.get("method")
    if method == "bayes" and not result.content.keys() & set(_OURS):
        result.note("method", "bayes is Optuna's TPE here, a Gaussian process in W&B")
    elif method in ("custom", "ax"):
        del result.content["method"]
        result.leave_out("method", f"{method} is a scheduler of W&B. Write bayes, random or grid")


def _translate_command(result: Translation) -> None:
    """Name the program of a command that contains the script, module or executable itself."""
    command = result.content.get("command")
    if result.content.get("program") is not None or not isinstance(command, list):
        return
    words = [str(word) for word in command]
    index = callee_index(words)
    if index is not None:
        result.content["program"] = words[index]
        result.content["command"] = [*words[:index], PROGRAM, *words[index + 1 :]]
        result.renamed["program"] = f"command.{index}"
        result.note("program", f"{words[index]}, from command")


def _translate_parameters(result: Translation, *, names: Callable[[str], str | None] | None) -> None:
    """Flatten nested parameters, convert each, and rename it if it is one of a built-in network."""
    given = result.content.get("parameters")
    if not isinstance(given, Mapping):
        return
    parameters: dict[str, Any] = {}
    renamed: dict[str, str] = {}
    unknown: dict[str, str] = {}
    integers: list[str] = []
    for key, name, parameter in _flat(given):
        path = name if names is None or _is_field(name) else names(name)
        if path is None:
            unknown[key] = name
            continue
        if path in parameters:
            result.leave_out(key, f"{renamed.get(path, path)} is {path} too. Leave one of them out")
            continue
        if names is not None and path != name:
            renamed[path] = name
        content = _translated_parameter(result, key, path, parameter, is_built_in=names is not None)
        if content is not None:
            parameters[path] = content
            if key != f"parameters.{path}":
                result.renamed[f"parameters.{path}"] = key
            if isinstance(content, Mapping) and content.keys() - parameter.keys() == {"distribution"}:
                integers.append(name)
    result.content["parameters"] = parameters
    if integers:
        text = "integers, as in W&B, because min and max are. For real numbers write them with a point: 0.0"
        result.note("parameters", f"{', '.join(integers)}: {text}")
    if renamed:
        words = ", ".join(f"{name} → {path}" for path, name in renamed.items())
        result.note("parameters", f"read for the built-in networks on CIFAR-10, {words}")
    _report_unknown(result, unknown)


def _report_unknown(result: Translation, unknown: Mapping[str, str]) -> None:
    """Report parameters that are no fields: one error, and a note each.

    Args:
        result: the translation.
        unknown: key in the file to the dotted name.
    """
    for key in unknown:
        result.note(key, "the built-in networks have no such field", is_left_out=True)
    if unknown:
        result.errors[next(iter(unknown))] = (
            f"the built-in networks have no {', '.join(unknown.values())}. To train with your own script, write "
            "program: train.py, or add --set program=train.py. For a function, write train: mine:train"
        )


def _is_nested(parameter: Any) -> bool:
    return isinstance(parameter, Mapping) and isinstance(parameter.get("parameters"), Mapping)


def _flat(parameters: Mapping[str, Any], key: str = "parameters", prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield the key in the file, the dotted name, and the content of each parameter that is not a group of others."""
    for name, parameter in parameters.items():
        inner, dotted = f"{key}.{name}", f"{prefix}{name}"
        if _is_nested(parameter) and parameter.keys() <= {"parameters"}:
            yield from _flat(parameter["parameters"], f"{inner}.parameters", f"{dotted}.")
        else:
            yield inner, dotted, parameter


def _is_field(path: str) -> bool:
    block, _, name = path.partition(".")
    known = IMAGES.config_type.model_fields
    inner = getattr(known[block].annotation, "model_fields", {}) if block in known else {}
    return name.partition(".")[0] in inner if name else block in known and not inner


def _translated_parameter(
    result: Translation, key: str, path: str, parameter: Any, *, is_built_in: bool
) -> dict[str, Any] | Any | None:
    """Return the content of a parameter; None if none of its values has an equivalent."""
    if not isinstance(parameter, Mapping):
        return parameter
    content = dict(parameter)
    if is_built_in and not _replace_names(result, key, path, content):
        return None
    if is_built_in:
        _exclude_invalid_ends(result, key, path, content)
    _merge_repeated(result, key, content)
    distribution, ends = content.get("distribution"), _ends(content)
    if isinstance(distribution, str) and distribution.startswith("q_"):
        content.setdefault("q", _STEP)
        if distribution == "q_uniform":
            _align_steps(result, key, content)
    elif distribution is None and ends is not None and all(isinstance(end, int) for end in ends):
        if "q" not in content and not is_built_in:
            content["distribution"] = "int_uniform"
    elif distribution in EXPONENTS and ends is not None and 0 <= min(ends) <= max(ends) <= 1:
        low, high = ends
        result.note(
            key,
            f"{distribution} takes exponents of e, so that this range is {math.exp(low):.6g} to "
            f"{math.exp(high):.6g}. For {low:g} to {high:g} write log_uniform_values",
        )
    return content


def _exclude_invalid_ends(result: Translation, key: str, path: str, content: dict[str, Any]) -> None:
    """Shorten a uniform range by a millionth where its end alone is invalid, such as a learning rate of 0."""
    ends = _ends(content)
    if content.get("distribution") not in (None, "uniform") or ends is None or ends[0] >= ends[1]:
        return
    low, high = ends
    margin = (high - low) * _MARGIN
    for end, value, inner in (("min", low, low + margin), ("max", high, high - margin)):
        if not _is_valid(path, value) and _is_valid(path, rounded(inner)):
            content[end] = rounded(inner)
            result.note(f"{key}.{end}", f"{rounded(inner):g}, since {value:g} is invalid")


def _is_valid(path: str, value: float) -> bool:
    tree: dict[str, Any] = {}
    set_path(tree, path, value)
    try:
        IMAGES.config_type.model_validate(tree)
    except ValidationError:
        return False
    return True


def _ends(content: Mapping[str, Any]) -> tuple[int | float, int | float] | None:
    """Return both ends of a range; None if one is missing or no number."""
    low, high = content.get("min"), content.get("max")
    return (low, high) if _is_number(low) and _is_number(high) else None


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _replace_names(result: Translation, key: str, path: str, content: dict[str, Any]) -> bool:
    """Replace names such as `SGD` by those of the built-in networks; return whether any value is left."""
    listed = content.get("values")
    if "value" in content:
        listed = [content["value"]]
    if not isinstance(listed, list) or not all(
        value is None or isinstance(value, str | int | bool) for value in listed
    ):
        return True
    known = []
    for index, value in enumerate(listed):
        inner = f"{key}.values.{index}" if "values" in content else f"{key}.value"
        try:
            known.append(value_of_name(path, value))
        except ValueError as error:
            result.leave_out(inner, str(error))
    if known != listed:
        content.update({"value": known[0]} if "value" in content and known else {"values": known})
    return bool(known)


def _merge_repeated(result: Translation, key: str, content: dict[str, Any]) -> None:
    """Keep one of equal values; a random search draws it as often as before."""
    values = content.get("values")
    if not isinstance(values, list) or "probabilities" in content:
        return
    counts = Counter(map(identity_of, values))
    if len(counts) == len(values) or not values:
        return
    first = {identity_of(value): value for value in reversed(values)}
    content["values"] = [first[identity] for identity in counts]
    twice = ", ".join(str(first[identity]) for identity, count in counts.items() if count > 1)
    if result.content.get("method") == "random" and len(counts) > 1:
        content["probabilities"] = [count / len(values) for count in counts.values()]
        result.note(key, f"{twice} is listed more than once, and drawn as often, by probabilities")
    else:
        result.note(key, f"{twice} is listed more than once, and kept once")


def _align_steps(result: Translation, key: str, content: dict[str, Any]) -> None:
    """Move the ends of a range to multiples of its step, which W&B draws; steps count from `min` here."""
    ends, step = _ends(content), content["q"]
    if ends is None or not _is_number(step) or step <= 0 or ends[0] > ends[1]:
        return
    low, high = ends
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if first > last:  # no multiple within the range
        first, last = round(low / step), round(high / step)
    aligned = multiple(first * step, step), multiple(last * step, step)
    content["min"], content["max"] = aligned
    if not math.isclose(aligned[0], low, abs_tol=1e-12):
        result.note(key, f"draws the multiples of {step:g} from {aligned[0]:g} to {aligned[1]:g}")


def _translate_metric(result: Translation, *, is_built_in: bool) -> None:
    listed = result.content.get("metrics")
    if isinstance(listed, list):
        result.content["metrics"] = [
            _translated_metric(result, f"metrics[{index}]", metric, is_built_in=is_built_in)
            for index, metric in enumerate(listed)
        ]
        return
    metric = result.content.get("metric")
    if metric is None:
        if not is_built_in:
            result.content["metric"] = {"name": "val_loss", "goal": "minimize"}
            result.note(
                "metric",
                "the file has none. val_loss, minimize, is assumed: set another with --set metric.name=NAME",
            )
        return
    result.content["metric"] = _translated_metric(result, "metric", metric, is_built_in=is_built_in)


def _translated_metric(result: Translation, location: str, metric: Any, *, is_built_in: bool) -> Any:
    if not isinstance(metric, Mapping):
        return metric
    changed = {key: value for key, value in metric.items() if key not in _METRIC_KEYS}
    for key in metric.keys() - changed.keys():
        result.note(f"{location}.{key}", _NOT_USED, is_left_out=True)
    if (goal := _GOALS.get(str(changed.get("goal")).lower())) is not None:
        result.note(f"{location}.goal", f"{goal} instead of {changed['goal']!r}")
        changed["goal"] = goal
    name = changed.get("name")
    if is_built_in and isinstance(name, str) and name not in METRICS and (found := metric_of_name(name)):
        changed["name"] = found
        sealed = ". The test set stays sealed" if "test" in name.lower() else ""
        result.note(f"{location}.name", f"{name} → {found}{sealed}")
    if not is_built_in and isinstance(name, str) and changed.get("goal") is None and name not in METRICS:
        changed["goal"] = "maximize" if is_better_if_larger(name) else "minimize"
        reason = "because its name is that of a score" if is_better_if_larger(name) else "as in W&B"
        result.note(f"{location}.goal", f"{changed['goal']} {name}, {reason}")
    return changed


def _translate_run_cap(result: Translation) -> None:
    if result.content.get("run_cap") is None and result.content.get("method", "bayes") != "grid":
        result.content["run_cap"] = TRIALS
        result.note("run_cap", f"{TRIALS} trials, since the file has no run_cap. W&B would run until it is stopped")


def _translate_early_terminate(result: Translation) -> None:
    rule = result.content.get("early_terminate")
    if not is_of_wandb(rule):
        return
    assert isinstance(rule, Mapping)
    content, note, error = translated_stopping(rule)
    if error is not None:
        del result.content["early_terminate"]
        result.leave_out(f"early_terminate.{error[0]}", error[1])
        return
    result.content["early_terminate"] = content
    parameters = result.content.get("parameters")
    searched = [
        path for path in ("epochs", "seed") if isinstance(parameters, Mapping) and _varies(parameters.get(path))
    ]
    if searched and "program" not in result.content:
        del result.content["early_terminate"]
        note = f"off, because {' and '.join(searched)} is searched, and trials are compared by epoch"
        result.note("early_terminate", note, is_left_out=True)
        return
    result.note("early_terminate", note)


def _varies(parameter: Any) -> bool:
    if not isinstance(parameter, Mapping):
        return False
    return "min" in parameter or (isinstance(parameter.get("values"), list) and len(parameter["values"]) > 1)


def _add_validation(result: Translation) -> None:
    """Hold images out for a metric on them, which the file of W&B leaves to its script."""
    listed = result.content.get("metrics") or [result.content.get("metric")]
    names = [str(each.get("name", "val_accuracy")) for each in listed if isinstance(each, Mapping)] or ["val_accuracy"]
    name = next((name for name in names if name.startswith("val_")), names[0])
    base, parameters = result.content.get("base", {}), result.content.get("parameters")
    data = base.get("data", {}) if isinstance(base, Mapping) else None
    is_searched = isinstance(parameters, Mapping) and "data.validation_size" in parameters
    if not isinstance(data, Mapping) or "validation_size" in data or is_searched or not name.startswith("val_"):
        return
    result.content["base"] = {**base, "data": {**data, "validation_size": VALIDATION_SIZE}}
    result.note("base", f"{VALIDATION_SIZE:,} of the training images are held out for {name}")

"""A stand-in for W&B's client in the programs that a sweep runs. It works offline and reports to the sweep.

It needs only Python: the program may run under another interpreter than the sweep. A logged row with the metric of the
sweep is a result. Rows without it are merged into the next result. Any other name of W&B raises an error that
says what to use instead.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import json
import os
import re
import secrets
import shutil
import string
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

__version__ = "0.99.0"
"""As in the `dist-info` next to this file: libraries ask for a version of W&B that is not too old."""
__path__: list[str] = []  # so that `import wandb.keras` asks `_Finder`

_METRIC = os.environ.get("SWEEPS_METRIC", "")
_INIT_ARGUMENTS = re.compile(
    "project|entity|name|notes|tags|group|job_type|dir|id|mode|reinit|resume|save_code|settings|anonymous|"
    "allow_val_change|force|magic|monitor_gym|tensorboard|sync_tensorboard|config_(ex|in)clude_keys|(fork|resume)_from"
)
_ADVICE = {
    "controller": "`sweeps run FILE` controls the sweep",
    "Api": "use `sweeps.query` or `sweeps leaderboard` to read results",
    "restore": "a file of an earlier start of this trial is in os.environ['SWEEPS_TRIAL_DIR']",
    "use_artifact": "read the file from a path",
    "keras": "report at the end of each epoch with wandb.log",
    "integration": "report at the end of each epoch with wandb.log",
    "xgboost": "report at the end of each round with wandb.log",
    "lightgbm": "report at the end of each round with wandb.log",
    "sklearn": "draw the plot into a file in os.environ['SWEEPS_ARTIFACTS_DIR']",
}
_noted: set[str] = set()


def _note(text: str) -> None:
    """Print a remark once, into the log of the trial."""
    if text not in _noted:
        _noted.add(text)
        print(f"sweeps: {text}", flush=True)


def _not_supported(name: str) -> str:
    advice = _ADVICE.get(name.split(".")[0], "delete it, or report numbers with wandb.log")
    return f"wandb.{name} is not supported in a program that `sweeps run` starts: {advice}"


class Error(Exception):
    """Base of errors, as in W&B."""


class UsageError(Error):
    """A wrong use of the client, as in W&B."""


class CommError(Error):
    """A connection error in W&B; never raised here."""


class NotSupportedError(AttributeError, Error):
    """A name of W&B's client that this stand-in does not have."""


class NotSupportedImportError(ImportError, Error):
    """A module of W&B's client that this stand-in does not have."""


class _Finder:
    """Raises an explanation when a missing submodule is imported."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name.startswith("wandb."):
            raise NotSupportedImportError(_not_supported(name[len("wandb.") :]), name=name)


sys.meta_path.insert(0, _Finder)


def __getattr__(name: str) -> Any:
    if name in _MEDIA:
        return _MEDIA[name]
    if name.startswith("__"):
        raise AttributeError(name)
    raise NotSupportedError(_not_supported(name))


class _Unsupported:
    """A placeholder that can be imported, and raises an explanation when it is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *args: Any, **options: Any) -> Any:
        raise NotSupportedError(_not_supported(self._name))

    def __getattr__(self, name: str) -> Any:
        raise NotSupportedError(_not_supported(self._name))


Api, controller, restore, use_artifact = map(_Unsupported, ("Api", "controller", "restore", "use_artifact"))


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, last = name.split(".")
        block = tree
        for parent in parents:
            inner = block.setdefault(parent, {})
            if not isinstance(inner, dict):
                block, last = tree, name
                break
            block = inner
        block[last] = value
    return tree


def _sent() -> dict[str, Any]:
    """Return the values that the sweep has chosen."""
    return dict(json.loads(os.environ.get("SWEEPS_CONFIG", "{}")))


class Config(MutableMapping[str, Any]):
    """`wandb.config`: defaults of the script, and the values of the sweep over them."""

    def __init__(self) -> None:
        self.__dict__["_flat"] = _sent()
        self.__dict__["_own"] = {}

    def _tree(self) -> dict[str, Any]:
        chosen = _nested(self._flat)
        merged = {**self._own, **chosen}
        for name, value in chosen.items():
            if isinstance(value, dict) and isinstance(self._own.get(name), dict):
                merged[name] = {**self._own[name], **value}
        return merged

    def __getitem__(self, name: str) -> Any:
        return self._flat[name] if name in self._flat else self._tree()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name in _nested(self._flat) or name in self._flat:
            if not isinstance(value, dict) and value != self.get(name):
                _note(f"config.{name} stays {self.get(name)!r}, the value of the sweep, and is not set to {value!r}")
            if not isinstance(value, dict):
                return
        self._own[name] = value

    def __delitem__(self, name: str) -> None:
        del self._own[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tree())

    def __len__(self) -> int:
        return len(self._tree())

    def __contains__(self, name: object) -> bool:
        return name in self._flat or name in self._tree()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            known = ", ".join(self) or "nothing"
            raise AttributeError(f"wandb.config has no {name!r}: the sweep and wandb.init have set {known}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __repr__(self) -> str:
        return repr(self._tree())

    def update(self, *others: Any, allow_val_change: bool | None = None, **values: Any) -> None:
        """Set values, except those that the sweep sets."""
        for other in others:
            for name, value in _mapping(other).items():
                self[name] = value
        for name, value in values.items():
            self[name] = value

    def setdefaults(self, values: Any) -> None:
        """Set values that are not set yet."""
        for name, value in _mapping(values).items():
            if name not in self:
                self[name] = value

    def as_dict(self) -> dict[str, Any]:
        """Return all values."""
        return self._tree()


def _mapping(values: Any) -> dict[str, Any]:
    if values is None:
        return {}
    if isinstance(values, argparse.Namespace):
        return dict(vars(values))
    if isinstance(values, Mapping):
        return dict(values)
    if hasattr(values, "keys"):
        return {name: values[name] for name in values.keys()}  # noqa: SIM118  # not a mapping
    raise UsageError(f"wandb.config takes a dictionary or what argparse returns, not a {type(values).__name__}")


class Summary(dict[str, Any]):
    """`run.summary`: values of the whole run. That of the metric of the sweep is its last result."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


class _Media:
    """An image, table or the like, which is not kept."""

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **options: None


_MEDIA: dict[str, type[_Media]] = {
    name: type(name, (_Media,), {"__doc__": "Not kept."})
    for name in (
        *("Table", "JoinedTable", "PartitionedTable", "Image", "Classes", "ImageMask", "BoundingBoxes2D", "Video"),
        *("Audio", "Histogram", "Html", "Object3D", "Plotly", "Bokeh", "Molecule", "Graph", "Data", "Markdown", "Plot"),
    )
}


class _Plots:
    def __getattr__(self, name: str) -> Any:
        return _MEDIA["Plot"]


plot = _Plots()
plot_table = _MEDIA["Plot"]
AlertLevel = types.SimpleNamespace(INFO="INFO", WARN="WARN", ERROR="ERROR")


class Settings:
    """Accept and ignore."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.__dict__.update(options)


class Artifact:
    """Files that are stored in the run in MLflow."""

    def __init__(self, name: str, type: str, description: str = "", metadata: Any = None, **options: Any) -> None:
        self.name, self.type, self.metadata = name, type, metadata
        self._files: list[tuple[Path, str]] = []

    def add_file(self, local_path: str | Path, name: str | None = None, **options: Any) -> None:
        """Add a file."""
        self._files.append((Path(local_path), name or Path(local_path).name))

    def add_dir(self, local_path: str | Path, name: str | None = None, **options: Any) -> None:
        """Add the files of a folder."""
        for path in sorted(Path(local_path).rglob("*")):
            if path.is_file():
                inner = path.relative_to(local_path)
                self._files.append((path, str(Path(name) / inner) if name else str(inner)))

    def add(self, obj: Any, name: str) -> None:
        """Add an object, which is not kept."""
        _note(f"{name!r} of the artifact {self.name} is not kept")

    def add_reference(self, uri: str, name: str | None = None, **options: Any) -> None:
        """Add a file elsewhere, which is not kept."""
        _note(f"{uri} of the artifact {self.name} is not kept")

    def wait(self, timeout: float | None = None) -> Artifact:
        """Return at once: nothing is uploaded."""
        return self

    def keep(self) -> None:
        for path, name in self._files:
            _keep(path, f"{self.name}/{name}")


def _keep(path: Path, name: str) -> None:
    folder = os.environ.get("SWEEPS_ARTIFACTS_DIR")
    if folder is not None:
        copy = Path(folder) / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


class Run:
    """The run of `wandb.init`: one trial of the sweep."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        folder = os.environ.get("SWEEPS_TRIAL_DIR", ".")
        self.id = Path(folder).resolve().parent.name
        self.name = options.get("name") or self.id
        self.project, self.entity, self.group = options.get("project"), options.get("entity"), options.get("group")
        self.notes, self.tags, self.job_type = options.get("notes"), options.get("tags"), options.get("job_type")
        self.dir = folder
        self.url: str | None = None
        self.path = f"{self.entity or 'sweeps'}/{self.project or 'sweeps'}/{self.id}"
        self.sweep_id, self.offline = _SWEEP_ID, True
        self.settings = Settings()
        self.resumed, self.starting_step, self.step, self.disabled = False, 0, 0, False
        self.config = _config
        self.summary = summary
        self._row: dict[str, Any] = {}
        self._reported: float | None = None
        self._reported_step: int | None = None
        self._is_finished = False

    def log(
        self,
        data: Mapping[str, Any],
        step: int | None = None,
        commit: bool | None = None,
        sync: bool | None = None,
    ) -> None:
        """Log values. A row with the metric of the sweep is a result; others are merged into the next one."""
        if not isinstance(data, Mapping):
            raise UsageError(f"wandb.log takes a dictionary, not a {type(data).__name__}")
        values = dict(_numbers(data))
        if step is not None and step == self._reported_step:
            for name in values:
                _note(f"{name} is not kept: it was logged after {_METRIC} in the same step. Log both in one call")
            return
        self._row.update(values)
        if commit is False:
            return
        self.step = self.step + 1 if step is None else step
        if any(map(_is_metric, self._row)):
            self._report(step)

    def _report(self, step: int | None = None) -> None:
        row, self._row = self._row, {}
        if "epoch" not in row and step is not None:
            row["epoch"] = step
        self._reported = next((value for name, value in row.items() if _is_metric(name)), None)
        self._reported_step = step
        _write(row)

    def finish(self, exit_code: int | None = None, quiet: bool | None = None) -> None:
        """Report the values that were logged since the last result."""
        global run
        if self._is_finished:
            return
        self._is_finished = True
        last = {name: value for name, value in _numbers(self.summary) if _is_metric(name)}
        if last and self._reported not in last.values():
            self._row.update(last)
        if self._row:
            self._report()
        if self.summary:
            _keep_summary(dict(self.summary))
        if exit_code:
            _note(f"wandb.finish({exit_code}) does not fail the trial. Call sys.exit({exit_code})")
        run = None

    def watch(self, *args: Any, **options: Any) -> None:
        """Do nothing."""
        _note("wandb.watch has no effect")

    def unwatch(self, *args: Any, **options: Any) -> None:
        """Do nothing."""

    def define_metric(self, name: str, *args: Any, **options: Any) -> None:
        """Do nothing: the last value of the metric counts, not its best one."""
        if options.get("summary") or options.get("goal"):
            _note(f"define_metric({name!r}) has no effect: the last value counts")

    def alert(self, title: str, text: str = "", **options: Any) -> None:
        """Print the text."""
        print(f"alert: {title}: {text}", flush=True)

    def save(self, glob_str: str | Path = "", base_path: Any = None, policy: str = "live") -> None:
        """Store files in the run in MLflow; nothing without a name."""
        if not str(glob_str):
            return
        for path in sorted(Path().glob(str(glob_str))) if not Path(glob_str).is_absolute() else [Path(glob_str)]:
            if path.is_file():
                _keep(path, path.name)

    def log_artifact(
        self, artifact_or_path: Any, name: str | None = None, type: str | None = None, aliases: Any = None
    ) -> Any:
        """Store the files of an artifact in the run in MLflow."""
        if not isinstance(artifact_or_path, Artifact):
            path = Path(artifact_or_path)
            artifact = Artifact(name or path.name, type or "file")
            (artifact.add_dir if path.is_dir() else artifact.add_file)(path)
            artifact_or_path = artifact
        artifact_or_path.keep()
        return artifact_or_path

    log_model = log_artifact

    def log_code(self, *args: Any, **options: Any) -> None:
        """Do nothing: the sweep keeps the code."""

    def mark_preempting(self) -> None:
        """Do nothing."""

    def link_artifact(self, artifact: Any, target_path: str = "", aliases: Any = None) -> None:
        """Do nothing: there is no registry."""
        _note("link_artifact has no effect")

    link_model = link_artifact

    def project_name(self) -> str:
        """Return the name of the project that the script has named."""
        return self.project or ""

    def get_url(self) -> str | None:
        """Return None: there is no page."""
        return self.url

    get_project_url = get_sweep_url = get_url

    def _label(self, *args: Any, **options: Any) -> None:
        """Do nothing; libraries call it with their name."""

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: Any) -> None:
        self.finish()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise NotSupportedError(_not_supported(name).replace("wandb.", "wandb.run.", 1))


def _is_metric(name: str) -> bool:
    plain = re.sub(r"[^\w\-. :/]", "_", name)
    return _METRIC in (plain, f"reported.{plain}")


def _numbers(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the numbers of a row, nested ones under dotted names."""
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{name}.")
            continue
        kind = type(value).__name__
        if hasattr(value, "item"):  # of numpy or torch, with one element
            with contextlib.suppress(TypeError, ValueError, RuntimeError):
                value = value.item()
        if isinstance(value, (bool, int, float)):
            yield name, value
        else:
            _note(f"{name} is not kept, because it is not a number: {kind}")


def _write(row: Mapping[str, Any]) -> None:
    path = os.environ.get("SWEEPS_REPORT")
    if path is None:
        print(", ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        return
    with open(path, "w", encoding="utf-8") as pipe:  # noqa: PTH123
        pipe.write(json.dumps(row) + "\n")
    if any(map(_is_metric, row)):
        _pause()


_results = 0
"""Results of this process."""


def _pause() -> None:
    """Do not continue after a number of results: `sweeps check` interrupts a script there."""
    global _results
    _results += 1
    while _results == int(os.environ.get("SWEEPS_PAUSED", "0")):
        time.sleep(1)


def _keep_summary(values: Mapping[str, Any]) -> None:
    folder = os.environ.get("SWEEPS_ARTIFACTS_DIR")
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        text = json.dumps(dict(_numbers(values)), indent=1)
        (Path(folder) / "summary.json").write_text(text + "\n", encoding="utf-8")


_SWEEP_ID = "sweeps"
run: Run | None = None
_config = Config()
config = _config
summary = Summary()


def init(*args: Any, config: Any = None, **options: Any) -> Run:
    """Begin the run, or return the one that has begun.

    Args:
        args: none; W&B takes names only.
        config: defaults, over which the values of the sweep are put.
        options: those of W&B, which have no effect here.
    """
    global run
    if unknown := [name for name in options if not _INIT_ARGUMENTS.fullmatch(name)]:
        raise NotSupportedError(_not_supported(f"init({unknown[0]}=...)"))
    if args:
        raise UsageError("wandb.init takes names: write wandb.init(project=..., config=...)")
    if options.get("sync_tensorboard"):
        _note("sync_tensorboard has no effect: report with wandb.log")
    if run is None:
        summary.clear()
        run = Run(options)
    if globals()["config"] is not _config:  # a script may have set `wandb.config = {...}` before
        _config.update(globals()["config"])
        globals()["config"] = _config
    _config.update(config)
    return run


def _current(call: str) -> Run:
    if run is None:
        raise Error(f"call wandb.init() before wandb.{call}()")
    return run


def log(data: Mapping[str, Any], step: int | None = None, commit: bool | None = None, sync: bool | None = None) -> None:
    """Log values; see `Run.log`."""
    _current("log").log(data, step=step, commit=commit)


def finish(exit_code: int | None = None, quiet: bool | None = None) -> None:
    """Report the values that were logged since the last result."""
    if run is not None:
        run.finish(exit_code)


join = finish


@atexit.register
def _finish_at_exit() -> None:
    finish()


def login(*args: Any, **options: Any) -> bool:
    """Do nothing."""
    return True


def setup(*args: Any, **options: Any) -> None:
    """Do nothing."""


teardown = require = ensure_configured = setup


def sweep(sweep: Any = None, entity: str | None = None, project: str | None = None, prior_runs: Any = None) -> str:
    """Return a name for `agent`: the file of the sweep has the search space, and constants of this one are defaults."""
    space = sweep.get("parameters") if isinstance(sweep, Mapping) else None
    parameters = {name: each for name, each in (space or {}).items() if isinstance(each, Mapping)}
    _config.setdefaults({name: each["value"] for name, each in parameters.items() if "value" in each})
    if missing := [name for name in parameters if name not in _config]:
        _note(f"the sweep file lacks parameters of the script's sweep: {', '.join(missing)}")
    return _SWEEP_ID


def agent(
    sweep_id: str,
    function: Callable[[], Any] | None = None,
    entity: str | None = None,
    project: str | None = None,
    count: int | None = None,
    **options: Any,
) -> None:
    """Call the function once, with the values of the trial; `sweeps run` starts the other trials."""
    if function is None:
        raise UsageError("wandb.agent needs function= in a program that `sweeps run` starts, and calls it once")
    if _agents:
        _note("only the first wandb.agent of a script runs. This one is skipped")
        return
    _agents.append(sweep_id)
    function()
    finish()


_agents: list[str] = []


def watch(*args: Any, **options: Any) -> None:
    """Do nothing."""
    _current("watch").watch()


def unwatch(*args: Any, **options: Any) -> None:
    """Do nothing."""


def define_metric(name: str, *args: Any, **options: Any) -> None:
    """Do nothing; see `Run.define_metric`."""
    _current("define_metric").define_metric(name, *args, **options)


def alert(title: str, text: str = "", **options: Any) -> None:
    """Print the text."""
    _current("alert").alert(title, text)


def save(glob_str: str | Path = "", base_path: Any = None, policy: str = "live") -> None:
    """Store files in the run in MLflow."""
    _current("save").save(glob_str)


def log_artifact(artifact_or_path: Any, name: str | None = None, type: str | None = None, aliases: Any = None) -> Any:
    """Store the files of an artifact in the run in MLflow."""
    return _current("log_artifact").log_artifact(artifact_or_path, name=name, type=type)


log_model = log_artifact


def link_model(*args: Any, **options: Any) -> None:
    """Do nothing: there is no registry."""
    _current("link_model").link_model(None)


def termlog(string: str = "", *args: Any, **options: Any) -> None:
    """Print the text."""
    print(string, flush=True)


termwarn = termerror = termlog


def _generate_id(length: int = 8) -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(length))


def _submodule(name: str, **members: Any) -> types.ModuleType:
    """Return a module of W&B's client that scripts and libraries import from."""
    module = types.ModuleType(f"wandb.{name}")
    module.__path__ = []
    vars(module).update(members)
    sys.modules[module.__name__] = module
    return module


class _RunDisabled:
    """Type of a run that records nothing, for the type checks of libraries; never created here."""


errors = _submodule("errors", Error=Error, UsageError=UsageError, CommError=CommError, AuthenticationError=CommError)
util = _submodule("util", generate_id=_generate_id)
wandb_run = _submodule("wandb_run", Run=Run)
sdk = _submodule(
    "sdk",
    wandb_run=_submodule("sdk.wandb_run", Run=Run),
    wandb_config=_submodule("sdk.wandb_config", Config=Config),
    lib=_submodule(
        "sdk.lib",
        RunDisabled=_RunDisabled,
        runid=_submodule("sdk.lib.runid", generate_id=_generate_id),
        config_util=_submodule("sdk.lib.config_util", ConfigError=UsageError),
    ),
)

"""Dry runs of a plan's configurations before training: find those that cannot train, and suspicious ones."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeps.core.errors import SweepError
from sweeps.core.task import DryRunResult, TaskConfig
from sweeps.core.trial import TrialRecord
from sweeps.driver.stopping import STOP_SIGNALS
from sweeps.system.compat import ProcessExit, exits_are_errors, guard_exit
from sweeps.tasks.registry import read_config, task_of
from sweeps.tasks.values import short_value

MAX_SECONDS = 60.0
"""Time limit in seconds. Configurations that were not reached by then are not judged."""
_SHOWN = 3
_PROGRAM = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from sweeps.driver.dry_runs import main; main()"


@dataclass(frozen=True, kw_only=True)
class DryRuns:
    """Results of the dry runs of a plan's configurations."""

    found: Sequence[tuple[TaskConfig, DryRunResult]] = ()
    """One configuration of each kind, with its result."""
    covers_all: bool = True
    """Whether the plan has no other configurations."""

    def can_train(self, config: TaskConfig) -> bool:
        """Return whether no fault of the configuration's kind is known."""
        return _kind(config) not in {_kind(other) for other, result in self.found if result.fault is not None}

    def explains(self, record: TrialRecord) -> bool:
        """Return whether a failure does not concern other trials: its network is faulty, and others are not."""
        faults = [result.fault is not None for _, result in self.found]
        is_build = record.error_class == "ModelError" and any(faults) and not all(faults)
        return is_build or not self.can_train(record.config)

    def remarks(self) -> list[str]:
        """Return the faults and the warnings, a sentence each.

        Raises:
            SweepError: no configuration of the plan can train.
        """
        faults = [(config, result.fault) for config, result in self.found if result.fault is not None]
        if faults and len(faults) == len(self.found) and self.covers_all:
            raise SweepError(f"no configuration can be trained: {faults[0][1]}")
        by_fault: dict[str | None, list[TaskConfig]] = {}
        for config, fault in faults:
            by_fault.setdefault(fault, []).append(config)
        others = "The other checked ones can" if len(faults) < len(self.found) else "No checked configuration can"
        others += " be trained."
        remarks = [
            f"{self._labels(configs)} cannot be trained: {fault}. {others}"
            for fault, configs in list(by_fault.items())[:_SHOWN]
        ]
        if hidden := sum(map(len, list(by_fault.values())[_SHOWN:])):
            remarks.append(f"{hidden} more configurations cannot be trained")
        return remarks + list(dict.fromkeys(warning for _, result in self.found for warning in result.warnings))

    def _labels(self, configs: Sequence[TaskConfig]) -> str:
        more = f" and {len(configs) - _SHOWN} more" if len(configs) > _SHOWN else ""
        return "; ".join(self._label(config) for config in configs[:_SHOWN]) + more

    def _label(self, config: TaskConfig) -> str:
        """Return the values in which a configuration differs from the others."""
        every = [other.dotted() for other, _ in self.found]
        own = config.dotted()
        differing = [path for path, value in own.items() if any(other.get(path) != value for other in every)]
        return ", ".join(f"{path} {short_value(own[path])}" for path in differing) or task_of(config).label(config)


def _kind(config: TaskConfig) -> str:
    return task_of(config).kind_of(config)


def dry_run_all(configs: Sequence[TaskConfig], *, isolated: bool, covers_all: bool = True) -> DryRuns:
    """Dry-run one configuration of each kind, and return the results.

    Args:
        configs: some or all configurations of a plan.
        isolated: run in a separate process, which custom code may end.
        covers_all: whether the plan has no other configurations.
    """
    each = list({_kind(config): config for config in reversed(configs)}.values())[::-1]
    known = {_kind(config): DryRunResult(fault=task_of(config).static_fault(config)) for config in each}
    unknown = [
        config for config in each if known[_kind(config)].fault is None and task_of(config).needs_dry_run(config)
    ]
    for config, result in (_isolated if isolated else _in_process)(unknown) if unknown else []:
        known[_kind(config)] = result
    return DryRuns(found=[(config, known[_kind(config)]) for config in each], covers_all=covers_all)


def check_networks(configs: Sequence[TaskConfig]) -> None:
    """Raise SweepError with the first fault if a configuration cannot train."""
    for _, result in dry_run_all(configs, isolated=False).found:
        if result.fault is not None:
            raise SweepError(f"model.name: {result.fault}")


def _in_process(configs: Sequence[TaskConfig]) -> list[tuple[TaskConfig, DryRunResult]]:
    guard_exit()
    ends = time.monotonic() + MAX_SECONDS
    return [(config, _guarded(config)) for config in configs if time.monotonic() < ends]


def _guarded(config: TaskConfig) -> DryRunResult:
    try:
        with exits_are_errors():
            return task_of(config).dry_run(config)
    except ProcessExit as error:
        return DryRunResult(
            fault=f"model {task_of(config).label(config)!r}: it called os._exit({error.args[0] if error.args else ''})"
        )


def _isolated(configs: Sequence[TaskConfig]) -> list[tuple[TaskConfig, DryRunResult]]:
    with tempfile.TemporaryDirectory(prefix="sweeps-dry-run-") as folder:
        answers = Path(folder) / "answers"
        answers.touch()
        command = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), str(answers)]
        request = json.dumps([config.model_dump_json() for config in configs])
        try:
            ended = subprocess.run(
                command, input=request, capture_output=True, text=True, timeout=MAX_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            ended = None
        received = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    found = [
        (config, DryRunResult(fault=fault, warnings=tuple(warnings)))
        for config, (fault, warnings) in zip(configs, received, strict=False)
    ]
    by_signal = 0 if ended is None else -ended.returncode
    # A Ctrl-C reaches both processes and is not a fault of the network.
    if by_signal > 0 and by_signal not in STOP_SIGNALS and len(found) < len(configs):
        crashed = configs[len(found)]
        label = task_of(crashed).label(crashed)
        fault = f"model {label!r}: its first train step ended the process with signal {by_signal}"
        found.append((crashed, DryRunResult(fault=fault)))
    return found


def main() -> None:
    """Dry-run the configurations that standard input lists. Write one JSON line for each, as soon as it is known."""
    configs = [read_config(text) for text in json.load(sys.stdin)]
    with Path(sys.argv[2]).open("a", encoding="utf-8") as answers:
        for result in (found for config in configs for _, found in _in_process([config])):
            answers.write(json.dumps([result.fault, result.warnings]) + "\n")
            answers.flush()

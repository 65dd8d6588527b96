"""One run of a program as a training: each of its results is an epoch."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cifar_core.common.checksum_file import verified_payload, write_with_checksum
from cifar_core.common.errors import CheckpointError, ModelError, closest
from cifar_core.common.files import read_file
from cifar_core.common.source import Source
from sweeps.core.errors import ProgramError, ProgramLostError
from sweeps.core.results import EpochResult
from sweeps.core.task import OnStep, TimedOutError, Training
from sweeps.tasks.program.command import command_line
from sweeps.tasks.program.config import ProgramConfig
from sweeps.tasks.program.process import GuardedProcess
from sweeps.tasks.program.reports import End, ReportFile, Reports, end_of

CHECKPOINT_FORMAT = 1
STAND_IN = Path(__file__).parent / "stand_in"
"""Folder of the package that answers the calls of W&B's client."""
_WAIT_SECONDS = 1.0
REPORTS = "reports.jsonl"
_LOCK, _ARGUMENTS = "program.lock", "args.json"


class ProgramTraining(Training):
    """One run of a program, over all its starts."""

    def __init__(
        self,
        config: ProgramConfig,
        *,
        program: str,
        source: Source | None,
        device: str,
        history: Sequence[EpochResult] = (),
        labels: Sequence[float] = (),
        has_ended: bool = False,
    ) -> None:
        """Describe the process of a trial; `epochs` starts it.

        Args:
            config: arguments and command.
            program: path of the script on this machine.
            source: the user's files that it runs.
            device: `cpu` or `cuda`.
            history: results that were processed.
            labels: the epoch of each of them as the program counts.
            has_ended: whether the program has ended after the last of them.
        """
        self._config = config
        self._program = program
        self._source = source
        self._device = device
        self._history = list(history)
        self._reports = Reports(program=config.program, metric=config.result_metric, labels=list(labels))
        self._new: deque[EpochResult] = deque()
        self._has_ended = has_ended
        self._folder: Path | None = None
        self._artifacts: Path | None = None
        self._log: Path | None = None

    @property
    def history(self) -> Sequence[EpochResult]:
        return self._history

    @property
    def has_ended(self) -> bool:
        return self._has_ended and not self._new

    @property
    def source(self) -> Mapping[str, str] | None:
        return None if self._source is None else self._source.files

    @property
    def environment(self) -> Mapping[str, str]:
        return {"device": self._device, "threads": os.environ.get("OMP_NUM_THREADS", "1")}

    @property
    def memory_bytes(self) -> int | None:
        return None if self._reports.end is None else self._reports.end.memory

    def use_folders(self, folder: Path, artifacts: Path) -> None:
        self._folder, self._artifacts = folder, artifacts

    def use_log(self, log: Path) -> None:
        self._log = log

    def epochs(self, *, on_step: OnStep) -> Iterator[EpochResult]:
        assert self._folder is not None, "the folder is given before the first epoch"
        file = ReportFile(self._folder.parent / REPORTS)
        if file.path.exists():
            # It contains the results of all starts; the checkpoint may be of an earlier moment.
            self._reports.labels.clear()
        self._read(file)
        yield from self._results()
        if self._has_ended:
            return
        process = self._start(self._folder)
        try:
            while not self._has_ended:
                process.wait(_WAIT_SECONDS)
                self._read(file)
                yield from self._results()
                if process.has_ended and not self._has_ended:
                    raise ProgramLostError(f"the process that watches {self._config.program} was killed")
                on_step(None)
        except TimedOutError:
            process.stop(shows_where=True)
            raise
        finally:
            process.stop()
            self._reports.end = next((line for line in map(end_of, file.new_lines()) if line), self._reports.end)

    def _read(self, file: ReportFile) -> None:
        """Read the new reports.

        Raises:
            ModelError: the program reports no results, or wrong ones.
            ProgramError: it has failed.
            DivergedError: a result is not finite.
        """
        for line in file.new_lines():
            result = self._reports.add(line)
            if result is not None and result.epoch > len(self._history) + len(self._new):
                self._new.append(result)
        for note in self._reports.notes:
            self._say(f"note: {note}")
        self._reports.notes.clear()
        end, most = self._reports.end, self._config.epochs
        if end is not None and not end.was_stopped:
            self._check(end)
            self._has_ended = True
        elif most and len(self._reports.labels) > most:
            self._say(f"{self._config.program} has reported more than {most} results (`epochs`) and is stopped")
            self._has_ended = True
        while most and len(self._history) + len(self._new) > most:
            self._new.pop()

    def _check(self, end: End) -> None:
        program, metric = self._config.program, self._config.result_metric
        if end.error is not None:
            raise ProgramError(f"{program} cannot be started: {end.error}", output=end.output)
        if end.exit:
            raise ProgramError(_failure(program, end), output=end.output)
        if not self._reports.labels:
            names = self._reports.names
            found = closest(metric, names) if names else "it has reported nothing"
            raise ModelError(
                f"{program} has ended and has not reported {metric} ({found}). Report it with "
                f"sweeps.report({metric}=...) or wandb.log, or change metric.name in the sweep file"
            )

    def _results(self) -> Iterator[EpochResult]:
        """Yield the new results; the last one that `epochs` allows only once the program has ended."""
        most = self._config.epochs
        while self._new:
            if most and self._new[0].epoch == most and not self._has_ended:
                return
            self._history.append(self._new.popleft())
            yield self._history[-1]

    def _start(self, folder: Path) -> GuardedProcess:
        assert self._log is not None
        folder.mkdir(parents=True, exist_ok=True)
        words = command_line(
            self._config.command,
            program=self._program,
            arguments=self._config.arguments(),
            arguments_file=folder.parent / _ARGUMENTS,
        )
        self._say(f"running {' '.join(words)}")
        return GuardedProcess(
            words,
            environment={**os.environ, **self._variables(folder)},
            reports=folder.parent / REPORTS,
            lock=folder.parent / _LOCK,
            log=self._log,
        )

    def _say(self, line: str) -> None:
        assert self._log is not None
        with self._log.open("a", encoding="utf-8") as log:
            print(line, file=log)

    def _variables(self, folder: Path) -> dict[str, str]:
        assert self._artifacts is not None
        path = [str(STAND_IN)] if self._uses_wandb() else []
        path += [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
        return {
            "PYTHONPATH": os.pathsep.join(path),
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",
            "SWEEPS_ARTIFACTS_DIR": str(self._artifacts.absolute()),
            "SWEEPS_CONFIG": json.dumps(self._config.arguments()),
            "SWEEPS_EPOCH": str(len(self._reports.labels)),
            "SWEEPS_METRIC": self._config.result_metric,
            "SWEEPS_SEED": str(self._config.seed),
            "SWEEPS_TRIAL_DIR": str(folder.absolute()),
        }

    def _uses_wandb(self) -> bool:
        """Return whether the word occurs in the user's files; True if they are unknown."""
        files = {} if self._source is None else self._source.paths
        return not files or any(b"wandb" in path.read_bytes().lower() for path in files.values())

    def save(self, path: Path) -> None:
        content = {
            "format": CHECKPOINT_FORMAT,
            "config": self._config.model_dump(mode="json"),
            "history": [result.as_dict() for result in self._history],
            "labels": self._reports.labels[: len(self._history)],
            "has_ended": self.has_ended,
        }
        write_with_checksum(path, json.dumps(content).encode())


def _failure(program: str, end: End) -> str:
    assert end.exit is not None
    last = end.output.rpartition("\n")[2].strip()
    why = f": {last}" if last else ""
    if end.exit < 0:
        hint = " (SIGKILL: the machine may be out of memory)" if end.exit == -9 else ""
        return f"{program} was ended by signal {-end.exit}{hint}{why}"
    return f"{program} exited with code {end.exit}{why}"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        content: dict[str, Any] = json.loads(verified_payload(read_file(path)))
    except Exception as error:
        raise CheckpointError(f"{path} cannot be read ({error}). Delete it to start the run again") from error
    if content.get("format") != CHECKPOINT_FORMAT:
        raise CheckpointError(f"{path} has another format. Delete it to start the run again")
    return content

"""A program as a task: `program: train.py` in a sweep's file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from cifar_core.common.errors import CheckpointError, ModelError
from cifar_core.common.source import Source, Sources
from cifar_core.common.user_modules import PROGRAM as PROGRAM_CODE
from cifar_core.common.user_modules import is_script, written_name
from sweeps.core.results import EpochResult
from sweeps.core.task import Task
from sweeps.tasks.program.callee import code_of_command, fault_of_program, located
from sweeps.tasks.program.config import PROGRAM, ProgramConfig
from sweeps.tasks.program.training import ProgramTraining, read_checkpoint
from sweeps.tasks.values import short_value

_DESCRIBED = 3
"""Arguments in a description."""


class _AllPaths(tuple[str, ...]):
    def __contains__(self, path: object) -> bool:
        return True


class ProgramTask(Task[ProgramConfig]):
    """A program, whose arguments are the parameters of the search."""

    name = PROGRAM
    code_kind = PROGRAM_CODE
    logs_artifacts = True
    config_type = ProgramConfig

    @property
    def untyped_fields(self) -> Sequence[str]:
        return _AllPaths()

    def code_of(self, config: ProgramConfig) -> str | None:
        return code_of_command(config.program, config.command)

    def named_files(self, config: ProgramConfig) -> Sequence[str]:
        texts = [config.program, *config.command, *(v for v in config.arguments().values() if isinstance(v, str))]
        return [text for text in texts if (os.sep in text or Path(text).suffix) and not is_script(text)]

    def label(self, config: ProgramConfig) -> str:
        return written_name(self.code_of(config) or config.program)

    def describe(self, config: ProgramConfig) -> str:
        values = list(config.arguments().items())[:_DESCRIBED]
        return ", ".join(f"{name} {short_value(value)}" for name, value in values) or config.program

    def enter(self, *, cpus: int, device: str, gpu_share: float) -> None:
        os.environ["OMP_NUM_THREADS"] = str(cpus)

    shares_process = False

    def limited(self, config: ProgramConfig, epochs: int) -> ProgramConfig:
        # Its arguments stay: it is ended after so many results.
        return config.model_copy(update={"epochs": min(config.epochs or epochs, epochs)})

    def start(self, config: ProgramConfig, part: Any, *, device: str) -> ProgramTraining:
        return ProgramTraining(config, program=_located(config), source=self._source(config), device=device)

    def load(self, path: Path, config: ProgramConfig, part: Any, *, device: str) -> ProgramTraining:
        stored = read_checkpoint(path)
        if stored["config"] != config.model_dump(mode="json"):
            raise CheckpointError(f"{path} is of another configuration. Delete it, or use another name for the sweep")
        return ProgramTraining(
            config,
            program=_located(config),
            source=self._source(config),
            device=device,
            history=[EpochResult.from_dict(each) for each in stored["history"]],
            labels=stored["labels"],
            has_ended=stored["has_ended"],
        )

    def ablated(self, config: ProgramConfig) -> Mapping[str, ProgramConfig]:
        # Without an argument, the program uses its own default.
        return config.without_each(but=("epochs", "seed"))

    def retrained(
        self, config: ProgramConfig, *, epochs: int | None, examples: int | Literal["all"] | None
    ) -> ProgramConfig:
        if epochs is None:
            return config
        values = config.model_dump()
        if config.epochs:
            values["epochs"] = epochs
        if "epochs" in config.arguments():
            values["arg"] = {**values["arg"], "epochs": epochs}
        if not config.epochs and "epochs" not in config.arguments():
            raise ModelError(
                f"{self.label(config)} has no argument `epochs`, and its file has no key `epochs`. Change another "
                "argument in its file"
            )
        return ProgramConfig.model_validate(values)

    def test_fault(self, config: ProgramConfig) -> str | None:
        return (
            f"{self.label(config)} reads its data itself, so no test part can be withheld from it. Evaluate its models "
            "with a script of your own, or write it as a training function"
        )

    def predict_fault(self, config: ProgramConfig) -> str | None:
        return "a program has no predict function. Load the files that it writes to SWEEPS_ARTIFACTS_DIR in a script"

    def _source(self, config: ProgramConfig) -> Source | None:
        return Sources(kind=self.code_kind).of(self.code_of(config), files=self.named_files(config))

    def is_complete(self, checkpoint: Path) -> bool:
        return bool(read_checkpoint(checkpoint)["has_ended"])


def _located(config: ProgramConfig) -> str:
    """Return what replaces `${program}` on this machine.

    Raises:
        ModelError: it is not there.
    """
    found = located(config.program, config.command)
    if found is None:
        raise ModelError(f"program {config.program!r}: {fault_of_program(config.program, config.command)}")
    return found

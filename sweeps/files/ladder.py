"""A ladder: an ordered list of rungs, each a change to the one before or to the rung it names with `from`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from cifar_core.common.errors import closest
from sweeps.core.errors import SweepError
from sweeps.core.storages import LOCAL, Storages
from sweeps.core.task import TaskConfig
from sweeps.core.trial import MeasuredOn
from sweeps.files.difference import Change, changes_between
from sweeps.files.settings import Limits, Resources
from sweeps.files.yaml_file import dump_yaml, load_yaml
from sweeps.tasks.registry import task_of

FINAL = "-final"
"""What the name of a ladder ends with that is measured on the test images after everything was chosen."""


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One step of a ladder with its whole configuration."""

    name: str
    index: int
    """In the file, counted from 0."""
    parent: str | None
    """The rung that its gain is taken against, None for one that the ladder starts with."""
    note: str
    config: TaskConfig
    changes: tuple[Change, ...]
    """What differs from its parent."""


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """A ladder, resolved."""

    name: str
    description: str
    limits: Limits
    resources: Resources
    rungs: tuple[Rung, ...]
    seeds: int = 1
    """Runs of each rung, unless a budget says otherwise."""
    measured_on: MeasuredOn = MeasuredOn.TEST
    """The images that its rungs are compared by."""
    is_final: bool = False
    """Whether it is the last measurement of a ladder that was chosen on validation images."""
    text: str = ""
    """The file, with every override in it and with what it extends: it needs no other one."""
    files: tuple[Path, ...] = field(default=(), compare=False)
    """The file, and those that it extends."""
    tensorboard: bool = False
    notify: tuple[str, ...] = ()
    storages: Storages = LOCAL

    def rung(self, name: str) -> Rung:
        """Return a rung by name.

        Raises:
            SweepError: there is none.
        """
        for rung in self.rungs:
            if rung.name == name:
                return rung
        raise SweepError(f"{self.name} has no rung {name!r}: {closest(name, [rung.name for rung in self.rungs])}")

    def warnings(self) -> list[str]:
        """Return what is allowed and hardly meant: a rung that is the very run that another one is has no result."""
        said = []
        for index, rung in enumerate(self.rungs):
            same = next((other.name for other in self.rungs[:index] if other.config.is_same_run(rung.config)), None)
            if same is not None:
                said.append(f"rung {rung.name} is the very run that {same} is, and is not run: nothing of it differs")
            said += [f"rung {rung.name}: {warning}" for warning in task_of(rung.config).config_warnings(rung.config)]
        return said

    def final(self) -> Ladder:
        """Return the ladder that is measured once everything is chosen: on the test images, under a name of its own.

        No rung sets images aside, so that one that trains on all that validation leaves trains on all there are; a
        rung of a `train_size` of its own trains on as many as before.

        Raises:
            SweepError: this one is measured on the test images already.
        """
        if self.measured_on is MeasuredOn.TEST:
            raise SweepError(
                f"{self.name} is measured on the test images as it is: --final is for a ladder that is chosen on "
                "validation images (`evaluate: validation`)"
            )
        configs = {rung.name: task_of(rung.config).final_config(rung.config) for rung in self.rungs}
        rungs = tuple(
            replace(
                rung,
                config=configs[rung.name],
                changes=tuple(changes_between(configs[rung.parent] if rung.parent else None, configs[rung.name])),
            )
            for rung in self.rungs
        )
        return replace(
            self,
            name=f"{self.name}{FINAL}",
            description=f"{self.description or self.name}: the last measurement, on the test images",
            rungs=rungs,
            measured_on=MeasuredOn.TEST,
            is_final=True,
            text=_final_text(self),
        )


def _final_text(ladder: Ladder) -> str:
    """Return the file of a ladder's last measurement: it runs the same where the file that was chosen is not."""
    content = load_yaml(ladder.text)
    config = ladder.rungs[0].config
    task_of(config).final_file(content, config)
    content |= {"name": f"{ladder.name}{FINAL}", "evaluate": "test"}
    return dump_yaml(content)

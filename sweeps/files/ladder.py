"""A ladder: an ordered list of rungs, each a change to the previous rung or to the one named with `from`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from cifar_core.common.errors import closest
from sweeps.core.errors import SweepError
from sweeps.core.storages import LOCAL, Storages
from sweeps.core.task import TaskConfig
from sweeps.core.trial import MeasuredOn
from sweeps.files.difference import Change, changes_between
from sweeps.files.settings import Limits, Metric, Resources
from sweeps.files.yaml_file import dump_yaml, load_yaml
from sweeps.tasks.registry import task_of

FINAL = "-final"
"""Suffix of the name of a ladder's final evaluation on the test images."""


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One step of a ladder with its full configuration."""

    name: str
    index: int
    """Position in the file, counted from 0."""
    parent: str | None
    """The rung that its gain is relative to; None for a first rung."""
    note: str
    config: TaskConfig
    changes: tuple[Change, ...]
    """Differences from its parent."""


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """A resolved ladder."""

    name: str
    description: str
    limits: Limits
    resources: Resources
    rungs: tuple[Rung, ...]
    seeds: int = 1
    """Runs of each rung, unless a budget overrides it."""
    measured_on: MeasuredOn = MeasuredOn.TEST
    """What its rungs are compared by."""
    metric: Metric | None = None
    """The metric of a custom training, for `MeasuredOn.METRIC`; None for networks."""
    is_final: bool = False
    """Whether it is the final evaluation of a ladder that was chosen on validation images."""
    text: str = ""
    """The file as YAML, with all overrides and with the content of the files that it extends."""
    files: tuple[Path, ...] = field(default=(), compare=False)
    """The file and the files that it extends."""
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
        """Return warnings about probable mistakes, such as two rungs with the same run."""
        found = []
        for index, rung in enumerate(self.rungs):
            same = next((other.name for other in self.rungs[:index] if other.config.is_same_run(rung.config)), None)
            if same is not None:
                found.append(f"rung {rung.name} is not run: its configuration equals that of rung {same}")
            found += [f"rung {rung.name}: {warning}" for warning in task_of(rung.config).config_warnings(rung.config)]
        return found

    def final(self) -> Ladder:
        """Return the final evaluation of a ladder: its rungs on the test images, under the name `NAME-final`.

        No rung holds out validation images. A rung without a `train_size` trains on all images, a rung with one on
        as many as before.

        Raises:
            SweepError: the ladder is measured on the test images already.
        """
        if self.measured_on is MeasuredOn.METRIC:
            raise SweepError(
                f"{self.name} compares a training of your own by its metric. Leave out --final: it is for ladders of "
                "networks with `evaluate: validation`."
            )
        if self.measured_on is MeasuredOn.TEST:
            raise SweepError(
                f"{self.name} is already evaluated on the test images. Leave out --final: it is for ladders with "
                "`evaluate: validation`."
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
            description=f"{self.description or self.name}: final evaluation on the test images",
            rungs=rungs,
            measured_on=MeasuredOn.TEST,
            is_final=True,
            text=_final_text(self),
        )


def _final_text(ladder: Ladder) -> str:
    """Return the YAML file of a ladder's final evaluation. It does not depend on the ladder's own file."""
    content = load_yaml(ladder.text)
    config = ladder.rungs[0].config
    task_of(config).final_file(content, config)
    content |= {"name": f"{ladder.name}{FINAL}", "evaluate": "test"}
    return dump_yaml(content)

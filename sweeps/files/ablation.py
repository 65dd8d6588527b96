"""Leave one change out at a time of a recorded configuration: what was each worth?"""

from __future__ import annotations

from cifar_core.config import RESET_BY_NAME, TrainingConfig
from sweeps.core.errors import SweepError
from sweeps.core.trial import MeasuredOn
from sweeps.files.difference import changes_between
from sweeps.files.ladder import Ladder, Rung
from sweeps.files.settings import Limits, Resources
from sweeps.files.yaml_file import set_path

WHOLE = "whole"
"""The rung that leaves nothing out."""

_KEPT = ("epochs", "seed", "data.train_size", "data.validation_size", "data.split_seed")
"""The budget and the images are no change: without them nothing could be compared."""


def ablation_of(config: TrainingConfig, *, run: str, key: str, measured_on: MeasuredOn = MeasuredOn.TEST) -> Ladder:
    """Return a ladder of a run's whole configuration, and of it without each of its changes.

    A change is what differs from the plainest configuration there is. A network or schedule of another name is left
    out as a whole, since its fields mean nothing under the plain one's name.

    Args:
        config: the run's, as it was recorded.
        run: what people call it, `quick/3`.
        key: of the run; names the ladder.
        measured_on: the images to compare by: for a run of a ladder that is still being chosen, the validation images.

    Raises:
        SweepError: the run has no change that could be left out.
    """
    plain = TrainingConfig()
    paths = _changed_paths(config, plain)
    if not paths:
        raise SweepError(f"run {run} is the plain configuration: there is no change to leave out")
    whole = Rung(name=WHOLE, index=0, parent=None, note="", config=config, changes=tuple(changes_between(None, config)))
    variants = [_variant(config, path, plain, index=index) for index, path in enumerate(paths, start=1)]
    return Ladder(
        name=f"ablate-{key[:8]}",
        description=f"{run} without each of its changes",
        limits=Limits(),
        resources=Resources(),
        rungs=(whole, *variants),
        measured_on=measured_on,
    )


def _variant(config: TrainingConfig, path: str, plain: TrainingConfig, *, index: int) -> Rung:
    without = _without(config, path, plain)
    return Rung(
        name=f"without-{path.removesuffix('.name').replace('_', '-')}",
        index=index,
        parent=WHOLE,
        note="",
        config=without,
        changes=tuple(changes_between(config, without)),
    )


def _changed_paths(whole: TrainingConfig, plain: TrainingConfig) -> list[str]:
    reference = plain.dotted()
    values = whole.dotted().items()
    changed = [path for path, value in values if reference.get(path) != value and path not in _KEPT]
    renamed = {block for block in RESET_BY_NAME if f"{block}.name" in changed}
    return [path for path in changed if path.endswith(".name") or path.split(".")[0] not in renamed]


def _without(whole: TrainingConfig, path: str, plain: TrainingConfig) -> TrainingConfig:
    tree = whole.model_dump(mode="json")
    block = path.split(".")[0]
    if path == f"{block}.name" and block in RESET_BY_NAME:
        tree[block] = plain.model_dump(mode="json")[block]
    else:
        set_path(tree, path, plain.dotted()[path])
    return TrainingConfig.model_validate(tree)

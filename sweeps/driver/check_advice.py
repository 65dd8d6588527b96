"""What to do about a broken promise of `sweeps check`, for each kind of user code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cifar_core.common.user_modules import FUNCTION, NETWORK, PROGRAM, CodeKind


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What to do, a sentence without its full stop for each promise."""

    seeding: str
    """If one seed gives different numbers."""
    seed: str
    """If two seeds give equal numbers."""
    state: str
    """If a resumed training gives other numbers."""
    saving: str
    """If a resumed training starts again."""
    isolation: str
    """If an earlier trial of the process changes the numbers; a program has a process of its own."""
    files: str
    """If it writes outside of its folder."""


_OF_FUNCTION = Advice(
    seeding=(
        "Seed each random generator with trial.seed, such as numpy.random.default_rng(trial.seed), and use no clock"
    ),
    seed=(
        "Use trial.seed for the initial weights and the order of the examples. Otherwise replicates measure no variance"
    ),
    state=(
        "Save everything that the next epoch depends on before the yield: weights, optimizer, schedule, and generators "
        "of your own (rng.bit_generator.state). Call trial.load() after building the model, and start the loop at "
        "trial.epoch"
    ),
    saving="Call trial.save(...) before each yield, or an interruption costs all epochs",
    isolation=(
        "Create models, optimizers and generators inside the function, and change no global of a module or library"
    ),
    files="Write to trial.folder instead: trials run at the same time",
)
_OF_PROGRAM = Advice(
    seeding=(
        "Seed each random generator with int(os.environ['SWEEPS_SEED']), or with --seed from a parameter seed, and use "
        "no clock"
    ),
    seed=(
        "Use int(os.environ['SWEEPS_SEED']), or --seed from a parameter seed, for the initial weights and the order of "
        "the examples. Otherwise replicates measure no variance"
    ),
    state=(
        "Write everything that the next epoch depends on to a checkpoint in SWEEPS_TRIAL_DIR, with its epoch, right "
        "after each report, and begin the loop at the epoch of the checkpoint"
    ),
    saving="To continue instead, keep a checkpoint in the folder SWEEPS_TRIAL_DIR",
    isolation="",
    files="Write to the folder SWEEPS_TRIAL_DIR instead: trials run at the same time",
)
_OF_NETWORK = Advice(
    seeding="Draw random numbers from torch's global generator only, which is seeded for each epoch",
    seed="Initialise the weights with random numbers of torch's global generator",
    state="Keep all state in parameters and buffers (register_buffer): other attributes are not in the checkpoint",
    saving="Report this as a bug: a network is saved after each epoch",
    isolation="Keep all state in the module, and change no global of a module or library",
    files="A network must write no files: trials run at the same time",
)
_OF_KIND: Mapping[CodeKind, Advice] = {
    FUNCTION: _OF_FUNCTION,
    PROGRAM: _OF_PROGRAM,
    NETWORK: _OF_NETWORK,
}


def advice_for(kind: CodeKind) -> Advice:
    """Return the advice for a kind of user code."""
    return _OF_KIND.get(kind, _OF_FUNCTION)

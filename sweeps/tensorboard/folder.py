"""Where TensorBoard's files lie, and whether it is installed; costs nothing to import."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path

from sweeps.errors import SweepError
from sweeps.identity import trial_name
from sweeps.trial_record import TrialRecord

_FOREIGN = re.compile(r"[^A-Za-z0-9._-]+")


def curves_folder(runs: Path, sweep: str) -> Path:
    """Return the folder of a sweep's curves: `runs/tensorboard/SWEEP`."""
    return runs / "tensorboard" / sweep


def trial_folder(runs: Path, record: TrialRecord) -> Path:
    """Return the folder of one trial's curves: `quick-003`, `quick-003-s1` of a replicate, `baseline-000` of a rung."""
    if record.rung is None:
        seed = None if record.replicate_of is None else record.config.seed
        name = trial_name(record.sweep, record.trial, replicate_seed=seed)
    else:
        # Runs of one rung differ in their seed or their budget: the number tells them apart.
        name = f"{_FOREIGN.sub('-', record.rung.name)}-{record.trial:03d}"
    return curves_folder(runs, record.sweep) / name


def remove_curves(runs: Path, sweep: str) -> None:
    """Delete a sweep's curves; a link goes, what it leads to stays.

    Raises:
        SweepError: they cannot be deleted.
    """
    folder = curves_folder(runs, sweep)
    try:
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise SweepError(f"{folder} cannot be deleted ({error.strerror}): delete it by hand") from None


def require_tensorboard() -> None:
    """Check that what writes the curves is installed.

    Raises:
        SweepError: it is not; says how to install it.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise SweepError(
            "tensorboard is asked for and is not installed: "
            "pip install --constraint requirements.lock -e '.[tensorboard]', or leave out --tensorboard "
            "(in the file: tensorboard: true)"
        )

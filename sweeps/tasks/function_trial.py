"""`Trial`, the first argument of a training function: its seed, device, saved state and files."""

from __future__ import annotations

import pickle
import random
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cifar_core.common.errors import ModelError
from sweeps.tasks.function_data import TrialData

_DECLARE_DATA = (
    "trial.data needs a function `data()` in the module of the training function. It returns a dictionary such as "
    "{'train': ..., 'validation': ..., 'test': ...}"
)
_NAMES_OF_RUN = ("config.yaml", "trial.log")
"""Artifacts that every run has."""


@dataclass(frozen=True, kw_only=True)
class Saved:
    """The state that a function saved, and the random generators after the epoch."""

    epoch: int
    """The epoch after which it was saved; 0 for no state."""
    state: bytes | None = None
    """Pickled."""
    generators: bytes | None = None
    """Pickled `generator_states`; None if nothing was saved, or by an earlier version."""


class Trial:
    """One run of a training function: its seed, device, saved state and files."""

    def __init__(
        self,
        *,
        seed: int,
        device: str,
        cpus: int,
        saved: Saved | None = None,
        data: TrialData | None = None,
        without_data: str = _DECLARE_DATA,
        folder: Path | None = None,
        artifacts: Path | None = None,
    ) -> None:
        self.seed = seed
        """Seed of this run. Python, NumPy and PyTorch are seeded with it before the call, if they are loaded."""
        self.device = device
        """`cpu` or `cuda`."""
        self.cpus = cpus
        """Number of cores that it may use."""
        self._before = saved or Saved(epoch=0)
        self.epoch = self._before.epoch
        """Number of saved epochs, which need not be trained again: 0 at the first start."""
        self._data, self._without_data = data, without_data
        self._folder, self._artifacts = folder, artifacts
        self._last = self._before
        self._pending: bytes | None = None

    def load(self) -> Any:
        """Return the state of the last `save`; None at the first start.

        Call it after building the model: it also restores the global random generators of Python, NumPy and PyTorch.
        """
        state, generators = self._before.state, self._before.generators
        loaded = None if state is None else pickle.loads(state)
        if generators is not None:
            restore_generators(pickle.loads(generators))
        return loaded

    def save(self, state: Any) -> None:
        """Save a state to resume from. Call it before the `yield` of the epoch.

        Args:
            state: Any object that can be pickled; it is copied.
        """
        self._pending = pickle.dumps(state)

    @property
    def data(self) -> TrialData:
        """The parts of the data set that `data()` in the module of the function returns, without `test`.

        Their numpy arrays are read-only: all trials of a machine share them.

        Raises:
            ModelError: the module has no such function, or the call has no data.
        """
        if self._data is None:
            raise ModelError(self._without_data)
        return self._data

    @property
    def folder(self) -> Path:
        """A folder for files of this run. It is kept if the run is interrupted, and deleted with the checkpoint.

        After a kill, its files may be newer than the last saved state.
        """
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="sweeps-trial-"))
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def log_artifact(self, path: str | Path, name: str | None = None) -> None:
        """Store a copy of a file or a folder in the run in MLflow, at the end of the trial.

        Args:
            path: The file or folder.
            name: Its name in the run, such as `plots/loss.png`; by default the file's name. A second call with the
                same name replaces the first.

        Raises:
            ValueError: The name is not a relative path, or is the name of a file that every run has.
            OSError: The file cannot be read or copied.
        """
        source = Path(path)
        stored = PurePosixPath(source.name if name is None else name)
        if stored.is_absolute() or ".." in stored.parts or not stored.parts or str(stored) in _NAMES_OF_RUN:
            raise ValueError(f"{str(stored)!r} cannot be the name of an artifact. Pass another `name`")
        if not source.exists():
            raise FileNotFoundError(2, "there is no such file or folder", str(source))
        if self._artifacts is None:
            return  # outside of a sweep
        target = self._artifacts / stored
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)

    def epoch_ended(self, epoch: int) -> Saved:
        """Return the last saved state after an epoch."""
        if self._pending is not None:
            self._last = Saved(epoch=epoch, state=self._pending, generators=pickle.dumps(generator_states()))
            self._pending = None
        return self._last


def seed_generators(seed: int) -> None:
    """Seed the global generators of Python and of NumPy and PyTorch if they are loaded; nothing is imported."""
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(seed)


def generator_states() -> dict[str, Any]:
    """Return the states of the global generators of the loaded libraries, in plain types."""
    found: dict[str, Any] = {"python": random.getstate()}
    if (numpy := sys.modules.get("numpy")) is not None:
        name, keys, *rest = numpy.random.get_state()
        found["numpy"] = (name, keys.tolist(), *rest)
    if (torch := sys.modules.get("torch")) is not None:
        found["torch"] = bytes(torch.get_rng_state().tolist())
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            found["cuda"] = [bytes(state.tolist()) for state in torch.cuda.get_rng_state_all()]
    return found


def restore_generators(states: dict[str, Any]) -> None:
    """Restore the states that `generator_states` returned, for the libraries that are loaded."""
    random.setstate(states["python"])
    if "numpy" in states and (numpy := sys.modules.get("numpy")) is not None:
        name, keys, *rest = states["numpy"]
        numpy.random.set_state((name, numpy.array(keys, dtype=numpy.uint32), *rest))
    if "torch" in states and (torch := sys.modules.get("torch")) is not None:
        torch.set_rng_state(torch.tensor(list(states["torch"]), dtype=torch.uint8))
        cuda = states.get("cuda", ())
        if cuda and torch.cuda.is_available() and torch.cuda.device_count() == len(cuda):
            torch.cuda.set_rng_state_all([torch.tensor(list(state), dtype=torch.uint8) for state in cuda])

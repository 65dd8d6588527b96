"""Exit codes of the command line."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """Exit codes of `sweeps`, for scripts."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> ExitCode:
        member = int.__new__(cls, code)
        member._value_, member.meaning = code, meaning
        return member

    DONE = 0, "done"
    FAILED = 1, "some trials failed"
    REFUSED = 2, "wrong usage or file, or a machine that cannot continue (the message contains the next step)"
    INTERRUPTED = 130, "interrupted (all state is saved)"

    @classmethod
    def listed(cls) -> str:
        """Return all of them in one sentence."""
        return ", ".join(f"{code.value} {code.meaning}" for code in cls)


class AnswerCode(enum.IntEnum):
    """Exit codes of `sweeps judge`, in addition to those of `ExitCode` for an answer that is not given."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> AnswerCode:
        member = int.__new__(cls, code)
        member._value_, member.meaning = code, meaning
        return member

    BETTER = 0, "the first is better"
    WORSE = 3, "the first is worse"
    NO_DIFFERENCE = 4, "no difference larger than the margin"
    OPEN = 5, "not distinguished yet: the same command continues"

    @classmethod
    def listed(cls) -> str:
        """Return all of them in one sentence."""
        return ", ".join(f"{code.value} {code.meaning}" for code in cls)


FAILED_OF_VERB = {
    "predict": "an image was skipped, since it cannot be read",
    "check": "a promise failed",
    "judge": "some runs failed, and the question is not answered",
    "doctor": "a problem remains",
    "rerun": "with `--check`: the result differs by more than the tolerance",
    "inspect mistakes": "the predictions differ from the recorded ones",
    "gc": "the confirmation was declined",
    "rm": "the confirmation was declined",
}
"""Verb to the meaning of `ExitCode.FAILED`, where it is not about trials."""

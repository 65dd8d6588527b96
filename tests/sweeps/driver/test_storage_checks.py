"""Notices about a sweep's storage and cluster before training."""

from __future__ import annotations

import io

import optuna
from rich.console import Console

from sweeps.driver.storage_checks import note_cluster_change


def test_a_sweep_that_resumes_without_its_cluster_prints_one_notice() -> None:
    study = optuna.create_study()

    def said(address: str | None) -> str:
        console = Console(file=io.StringIO(), width=200)
        note_cluster_change(study, sweep="tiny", address=address, console=console)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    assert said(None) == ""
    assert said("head:6379") == ""
    assert "tiny ran on the Ray cluster at head:6379 before and now runs on this machine only" in said(None)
    assert said(None) == ""
    assert said("other:6379") == ""

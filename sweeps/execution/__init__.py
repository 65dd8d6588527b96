"""Carrying it out: the plan of a run, the runner with signals and resume, backends, trials, the live view.

A backend trains what the ledger hands out; an epoch goes trial → backend → `Ledger.report`, and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_core.lazy import lazy_face

if TYPE_CHECKING:
    from sweeps.execution.estimate import (
        Estimate,
        Probe,
        estimate_cost,
        is_listed,
        preview,
        some_combinations,
        trial_count,
        whole_seconds,
    )
    from sweeps.execution.output import stage, terminal_copy
    from sweeps.execution.plan import (
        RETRAINED,
        RunPlan,
        plan_of_ladder,
        plan_of_replicates,
        plan_of_retraining,
        plan_of_sweep,
    )
    from sweeps.execution.ray_environment import abandoned_processes, ray_folder
    from sweeps.execution.rehearsals import Rehearsals, check_networks, rehearse_all
    from sweeps.execution.reproduction import Agreement, Rerun, rerun
    from sweeps.execution.runner import run
    from sweeps.execution.sealed_test import Finalized, finalize
    from sweeps.execution.sizing import size_of_starter
    from sweeps.execution.slots import Slots, local_slots
    from sweeps.execution.start import BackendName, Interrupted, RunKeywords, RunOptions, RunSummary

__all__ = [
    "RETRAINED",
    "Agreement",
    "BackendName",
    "Estimate",
    "Finalized",
    "Interrupted",
    "Probe",
    "Rehearsals",
    "Rerun",
    "RunKeywords",
    "RunOptions",
    "RunPlan",
    "RunSummary",
    "Slots",
    "abandoned_processes",
    "check_networks",
    "estimate_cost",
    "finalize",
    "is_listed",
    "local_slots",
    "plan_of_ladder",
    "plan_of_replicates",
    "plan_of_retraining",
    "plan_of_sweep",
    "preview",
    "ray_folder",
    "rehearse_all",
    "rerun",
    "run",
    "size_of_starter",
    "some_combinations",
    "stage",
    "terminal_copy",
    "trial_count",
    "whole_seconds",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Agreement": "reproduction",
        "BackendName": "start",
        "Finalized": "sealed_test",
        "Probe": "estimate",
        "size_of_starter": "sizing",
        "RETRAINED": "plan",
        "Rerun": "reproduction",
        "Estimate": "estimate",
        "Interrupted": "start",
        "RunKeywords": "start",
        "RunOptions": "start",
        "RunPlan": "plan",
        "RunSummary": "start",
        "Slots": "slots",
        "check_networks": "rehearsals",
        "Rehearsals": "rehearsals",
        "rehearse_all": "rehearsals",
        "estimate_cost": "estimate",
        "finalize": "sealed_test",
        "local_slots": "slots",
        "plan_of_ladder": "plan",
        "plan_of_replicates": "plan",
        "plan_of_retraining": "plan",
        "plan_of_sweep": "plan",
        "preview": "estimate",
        "rerun": "reproduction",
        "abandoned_processes": "ray_environment",
        "ray_folder": "ray_environment",
        "run": "runner",
        "is_listed": "estimate",
        "some_combinations": "estimate",
        "stage": "output",
        "terminal_copy": "output",
        "trial_count": "estimate",
        "whole_seconds": "estimate",
    },
)

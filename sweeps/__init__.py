"""Search, schedule, record and compare training runs.

    import sweeps

    sweeps.Sweep.from_file("experiments/quick.yaml").run()
    sweeps.leaderboard("quick")
    sweeps.load_model("quick").predict("cat.jpg")

The names below are imported on first use, so that importing this package is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_core.common.lazy import lazy_exports

if TYPE_CHECKING:
    from sweeps._api.functions import effects, leaderboard, load_ladder, load_spec, query, replicate, retrain, run
    from sweeps._api.judge import judge, questions
    from sweeps._api.planning import plan
    from sweeps._api.replay import replay
    from sweeps._api.reporting import report, resumed
    from sweeps._api.steering import add, pause, resume, set_limits, skip
    from sweeps._api.sweep import Sweep, SweepResult
    from sweeps._api.verbs import compare, finalize, ladder, show, status
    from sweeps.cli.inspect_call import inspect
    from sweeps.core.errors import SweepError
    from sweeps.driver.options import Interrupted
    from sweeps.use.networks import export_model, load_model

__all__ = [
    "Interrupted",
    "Sweep",
    "SweepError",
    "SweepResult",
    "add",
    "compare",
    "effects",
    "export_model",
    "finalize",
    "inspect",
    "judge",
    "ladder",
    "leaderboard",
    "load_ladder",
    "load_model",
    "load_spec",
    "pause",
    "plan",
    "query",
    "questions",
    "replay",
    "replicate",
    "report",
    "resume",
    "resumed",
    "retrain",
    "run",
    "set_limits",
    "show",
    "skip",
    "status",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "use.networks": "export_model load_model",
        "_api.functions": "effects leaderboard load_ladder load_spec query replicate retrain run",
        "_api.judge": "judge questions",
        "_api.planning": "plan",
        "_api.sweep": "Sweep SweepResult",
        "_api.replay": "replay",
        "_api.reporting": "report resumed",
        "_api.steering": "add pause resume set_limits skip",
        "_api.verbs": "compare finalize ladder show status",
        "cli.inspect_call": "inspect",
        "core.errors": "SweepError",
        "driver.options": "Interrupted",
    },
)

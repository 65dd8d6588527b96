"""MLflow's system metrics of the driver's machine, in a sweep's parent run."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

SWITCH = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
"""MLflow's environment variable that enables system metrics."""

_LONGEST_END_S = 10.0

_log = logging.getLogger(__name__)


class SystemMetrics:
    """Samples of CPU, memory, disk, network and GPU, under `system/` in the parent run; off by default."""

    def __init__(self) -> None:
        self._monitor: Any = None  # MLflow's, which has no types

    def start(self, run_id: str, *, uri: str) -> None:
        """Start sampling if `SWITCH` is set, every 10 s or MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL.

        If psutil is not installed, a warning is logged.
        """
        if os.environ.get(SWITCH, "").lower() not in ("1", "true"):
            return
        try:
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)
            monitor: Any = SystemMetricsMonitor
            self._monitor = monitor(run_id, resume_logging=True, tracking_uri=uri)
        except ImportError:
            _log.warning(
                "%s is set, but psutil is not installed. Run `pip install 'cifar-sweeps[system-metrics]'`.", SWITCH
            )
            return
        self._monitor.start()

    def end(self) -> None:
        """Write the last samples, in at most `_LONGEST_END_S` seconds, also if the store is unreachable."""
        if self._monitor is None:
            return
        ending = threading.Thread(target=self._monitor.finish, name="end of system metrics", daemon=True)
        ending.start()
        ending.join(_LONGEST_END_S)
        self._monitor = None

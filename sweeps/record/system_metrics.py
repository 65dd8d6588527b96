"""How busy the driver's machine is, among a sweep's own metrics: MLflow's system metrics, by MLflow's own switch."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

SWITCH = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
"""The environment variable that turns it on, as for MLflow's own runs."""

_LONGEST_END_S = 10.0

_log = logging.getLogger(__name__)


class SystemMetrics:
    """Samples of processor, memory, disk, network and GPU, under `system/` in the sweep's own run; off by default."""

    def __init__(self) -> None:
        self._monitor: Any = None  # MLflow's, which has no types

    def start(self, run_id: str, *, uri: str) -> None:
        """Begin to sample, every 10 seconds unless MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL says otherwise.

        Where the switch is off it does nothing; where psutil is missing it says so, and the sweep goes on.
        """
        if os.environ.get(SWITCH, "").lower() not in ("1", "true"):
            return
        try:
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)
            monitor: Any = SystemMetricsMonitor
            self._monitor = monitor(run_id, resume_logging=True, tracking_uri=uri)
        except ImportError:
            _log.warning("%s is set, but psutil is not installed: pip install 'cifar-sweeps[system-metrics]'", SWITCH)
            return
        self._monitor.start()

    def end(self) -> None:
        """Write the last samples, in at most 10 seconds: a store that is away does not hold the sweep's end up."""
        if self._monitor is None:
            return
        ending = threading.Thread(target=self._monitor.finish, name="end of system metrics", daemon=True)
        ending.start()
        ending.join(_LONGEST_END_S)
        self._monitor = None

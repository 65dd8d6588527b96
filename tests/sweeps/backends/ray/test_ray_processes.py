"""The guard of a driver's Ray ends its remaining processes, and never the driver."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_driver_that_resembles_ray_survives_its_guard(tmp_path: Path) -> None:
    session = tmp_path / "sweeps-ray-1" / "1-ab"
    session.mkdir(parents=True)
    driver = tmp_path / "ray" / "core" / "driver.py"
    driver.parent.mkdir(parents=True)
    driver.write_text(f"""
from pathlib import Path
from sweeps.backends.ray.processes import guard_of, session_of
import os
session = Path({str(session)!r})
log = (session / "log").open("w")
assert session_of(os.getpid()) == session
with guard_of(session):
    pass
print("lives")
""")

    ended = subprocess.run([sys.executable, str(driver)], capture_output=True, text=True, timeout=60, check=False)

    assert (ended.returncode, ended.stdout) == (0, "lives\n"), ended.stderr

"""Cores: as many as the machine, the affinity and the quota leave, and none held by two trials."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps import machine

PIN = "from sweeps.machine import pin_to_leased_cores; print(pin_to_leased_cores(1), flush=True); input()"


def groups(root: Path, memberships: str, quotas: dict[str, str]) -> float | None:
    """Return the quota found where the kernel says so many memberships and files."""
    (root / "memberships").write_text(memberships, encoding="ascii")
    for name, content in quotas.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="ascii")
    return machine._cpu_quota(root / "memberships", root / "cgroup")


def test_a_containers_quota_is_read(tmp_path: Path) -> None:
    assert groups(tmp_path, "0::/\n", {"cpu.max": "150000 100000\n"}) == 1.5


def test_without_a_quota_there_is_none(tmp_path: Path) -> None:
    assert groups(tmp_path, "0::/user\n", {"user/cpu.max": "max 100000\n"}) is None


def test_the_smallest_quota_of_a_group_and_those_around_it_holds(tmp_path: Path) -> None:
    quotas = {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n", "a/b/c/cpu.max": "300000 100000\n"}
    assert groups(tmp_path, "0::/a/b/c\n", quotas) == 2.0


@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
def test_a_quota_of_the_older_control_groups_is_read(controllers: str, tmp_path: Path) -> None:
    quotas = {f"{controllers}/docker/cpu.cfs_quota_us": "50000\n", f"{controllers}/docker/cpu.cfs_period_us": "100000"}
    assert groups(tmp_path, f"4:memory:/\n1:{controllers}:/docker\n0::/\n", quotas) == 0.5


def test_an_unlimited_older_group_has_no_quota(tmp_path: Path) -> None:
    quotas = {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert groups(tmp_path, "1:cpu:/\n", quotas) is None


@pytest.mark.parametrize(("quota", "cores"), [(None, 4), (2.5, 2), (0.3, 1), (64.0, 4)])
def test_slots_follow_the_quota(quota: float | None, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_cpu_quota", lambda: quota)
    monkeypatch.setattr(machine, "allowed_cores", lambda: [0, 1, 2, 3])

    assert machine.core_count() == cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux pins a process to cores")
def test_a_leased_core_is_nobody_elses_whatever_their_temporary_folder_is(tmp_path: Path) -> None:
    processes = []
    for number in range(len(machine.allowed_cores()) + 1):
        own = tmp_path / str(number)
        own.mkdir()
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", PIN],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | {"TMPDIR": str(own)},
                text=True,
            )
        )
    try:
        leased = [process.stdout.readline().strip() for process in processes if process.stdout is not None]
    finally:
        for process in processes:
            process.communicate("\n")

    held = [core for core in leased if core != "[]"]
    assert len(set(held)) == len(held)
    assert leased.count("[]") >= 1, "more processes than cores: one is left without"
    assert stat.S_IMODE(machine._LEASES.stat().st_mode) == 0o1777


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HTTP_PROXY": "http://proxy:3128"}, "localhost,127.0.0.1,::1"),
        ({"https_proxy": "http://p", "NO_PROXY": "corp, localhost"}, "corp,localhost,127.0.0.1,::1"),
        ({"all_proxy": "http://p", "no_proxy": "*"}, "*"),
        ({}, None),
    ],
)
def test_no_proxy_stands_before_this_machine(
    environment: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")  # so that what is set below is undone
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    machine.bypass_proxy_here()

    assert os.environ.get("no_proxy") == expected

"""How many CPUs this process may use, which in a container or under a limit is less than the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def usable_cpus(cgroups: Path = CGROUPS, own: Path = OWN_CGROUP) -> int:
    """CPUs by affinity (taskset, cpusets) and by the quota of cgroup v2 (`docker --cpus`, a pod's limit, `CPUQuota=`).

    A quota of 1.5 CPUs counts as 2: two workers can use it up, one cannot.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = min(_quotas(cgroups, own), default=math.inf)
    return max(1, min(affinity, math.ceil(quota) if quota < affinity else affinity))


def _quotas(cgroups: Path, own: Path) -> list[float]:
    """The quota of each cgroup around this process; a limit of any of them holds."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    path = next((line[3:] for line in lines if line.startswith("0::")), None)
    if path is None:
        return []
    folder = cgroups / path.lstrip("/")
    found = [_quota(each / "cpu.max") for each in (folder, *folder.parents) if each.is_relative_to(cgroups)]
    return [quota for quota in found if quota is not None]


def _quota(file: Path) -> float | None:
    """CPUs by one `cpu.max`: "150000 100000" is 1.5 (microseconds of each period), "max 100000" is no limit."""
    try:
        quota, period = file.read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None

"""Who a process is, and how long ago something was, by what no setting of a clock moves."""

import os
import time
import uuid
from functools import cache
from pathlib import Path

import psutil

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# fields of /proc/PID/stat behind the name, which may hold anything
STATE, THREADS, START_TICKS = 0, 17, 19


@cache
def boot() -> str:
    """This start of this host; empty where the system does not tell it."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


@cache
def process_space() -> str:
    """Where a process number means something: this boot and this namespace of numbers."""
    try:
        return f"{boot()}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{uuid.getnode()}/{boot()}"


def since_boot() -> float:
    """Seconds since this host started, its sleep among them: the same in all its processes."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def start_of(pid: int) -> int:
    """When a process started, in the kernel's ticks since boot; 0 where that cannot be read."""
    fields = _stat(pid)
    return int(fields[START_TICKS]) if fields else 0


def is_gone(pid: int, start: int) -> bool:
    """Whether the process of this number and start in this process space does not run any more."""
    if not psutil.pid_exists(pid):
        return True
    fields = _stat(pid)
    if not fields or not start:
        return False
    # the main thread of a killed process is a zombie while others are still at work
    dead = fields[STATE] in "ZX" and int(fields[THREADS]) <= 1
    return dead or int(fields[START_TICKS]) != start


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name; none where it cannot be read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []

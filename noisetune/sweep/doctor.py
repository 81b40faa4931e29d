"""What sweeps need of a machine, each looked at by itself: nothing is started or written."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from noisetune.caches import cache_folder
from noisetune.errors import UserError
from noisetune.files import check_room
from noisetune.memory import LIMIT, memory_limit
from noisetune.sweep.findings import GB, Finding
from noisetune.sweep.home import Site
from noisetune.texts import counted
from noisetune.tracking.looking import look_at

OLDEST = (3, 11)
DISK_FAULT, DISK_WARNING = 0.5 * GB, 5 * GB
"""Free bytes under which a disk is no use, or soon full."""
MEMORY_WARNING = 2 * GB
ROOM = "free some, for example by `noisetune store gc --max-size 10G`, or name another folder"


def examine(site: Site, trials: Sequence[tuple[str, Any]] = ()) -> list[Finding]:
    """Every finding of this machine and of where `site` leaves things; where it has an address, of
    the hosts of the cluster there, whose reading of the data of `trials` (name, configuration as
    JSON) is looked at, too."""
    checks: dict[str, Callable[[], Finding | list[Finding]]] = {
        "Python": _python,
        "torch": _torch,
        "devices": _devices,
        "Ray": lambda: _ray(site, trials),
        "tracking": lambda: _tracking(site),
        "store": lambda: _store(site),
        "disk": lambda: _disk([site.home.root, cache_folder()]),
        "memory": _memory,
        "data cache": _cache,
    }
    return [finding for what, check in checks.items() for finding in _looked_at(what, check)]


def _looked_at(what: str, check: Callable[[], Finding | list[Finding]]) -> list[Finding]:
    """A check that fails is a finding, too."""
    try:
        found = check()
    except UserError as error:
        text, _, remedy = str(error).rpartition("; ")
        found = Finding(what, "fault", text, remedy)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        found = Finding(what, "fault", text, "mend its installation")
    return found if isinstance(found, list) else [found]


def _python() -> Finding:
    text = f"Python {platform.python_version()}, {sys.executable}"
    if sys.version_info < OLDEST:
        return Finding("Python", "fault", text, "install Python 3.11 or newer")
    return Finding("Python", "ok", text)


def _torch() -> Finding:
    import torch
    import torchvision

    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs alone"
    text = f"torch {torch.__version__} for {built}, torchvision {torchvision.__version__}"
    return Finding("torch", "ok", text)


def _devices() -> Finding:
    import torch

    from noisetune.training.runtime import available_cpus

    cpus, gpus = counted(available_cpus(), "CPU"), torch.cuda.device_count()
    if gpus:
        names = dict.fromkeys(torch.cuda.get_device_name(each) for each in range(gpus))
        return Finding("devices", "ok", f"{counted(gpus, 'GPU')} ({', '.join(names)}), {cpus}")
    if Path("/dev/nvidia0").exists():
        remedy = "install a driver that suits torch's CUDA, or a torch that suits the driver"
        return Finding("devices", "warning", f"{cpus}, and a GPU that torch does not see", remedy)
    return Finding("devices", "ok", f"{cpus}, no GPU")


def _ray(site: Site, trials: Sequence[tuple[str, Any]]) -> list[Finding]:
    installed, address = f"Ray {version('ray')}", site.address
    if address is None:
        return [Finding("Ray", "ok", f"{installed}; a sweep starts its own")]
    from noisetune.sweep import show_token

    show_token()
    from noisetune.sweep.execution.hosts import look_at_hosts, versions
    from noisetune.sweep.host_findings import host_findings

    has, hosts = look_at_hosts(address, site.stages, trials)
    there = ", ".join(f"{has.get(kind, 0):g} {kind}s" for kind in ("CPU", "GPU"))
    cluster = Finding("Ray", "ok", f"{installed}; the cluster at {address} has {there}")
    return [cluster, *host_findings(hosts, versions())]


def _tracking(site: Site) -> Finding:
    text = look_at(str(site.tracking_uri))
    alone = "" if site.address is None else "; this host alone writes there, the others need not"
    return Finding("tracking", "ok", text + alone)


def _store(site: Site) -> Finding:
    if site.stages is not None and "://" in site.stages:
        _ = site.stored
        return Finding("store", "ok", f"{site.stages} answers")
    folder = Path(str(site.stages))
    if not folder.is_dir():
        check_room(folder, site.stages_option)
        return Finding("store", "ok", f"{folder} is made by the first sweep")
    if not os.access(folder, os.W_OK):
        remedy = "make it one that you may write to, or name another with --store"
        return Finding("store", "fault", f"{folder} cannot be written to", remedy)
    return Finding("store", "ok", str(folder))


def _disk(folders: Iterable[Path]) -> Finding:
    """Of the fullest disk that one of the folders is on."""
    free = {folder: shutil.disk_usage(_there(folder)).free for folder in folders}
    least = min(free.values())
    text = ", ".join(f"{size / GB:.1f} GB free for {folder}" for folder, size in free.items())
    if least >= DISK_WARNING:
        return Finding("disk", "ok", text)
    return Finding("disk", "fault" if least < DISK_FAULT else "warning", text, ROOM)


def _there(folder: Path) -> Path:
    return next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())


def _memory() -> Finding:
    free, whole = psutil.virtual_memory().available, psutil.virtual_memory().total
    text = (
        f"{free / GB:.1f} of {whole / GB:.1f} GB free; reading data may take "
        f"{memory_limit() / GB:.1f} GB"
    )
    if min(free, memory_limit()) >= MEMORY_WARNING:
        return Finding("memory", "ok", text)
    remedy = f"end other programs, run fewer trials at once (max_concurrent), or set {LIMIT}"
    return Finding("memory", "warning", text, remedy)


def _cache() -> Finding:
    folder, option = cache_folder(), "NOISETUNE_CACHE"
    if not folder.exists():
        check_room(folder, option)
        return Finding("data cache", "ok", f"{folder} is made when it is needed")
    if not os.access(folder, os.W_OK):
        remedy = f"make it one that you may write to, or set {option} to another"
        return Finding("data cache", "fault", f"{folder} cannot be written to", remedy)
    return Finding("data cache", "ok", str(folder))

"""What the hosts of a cluster have, asked of each of them, beside what the driver has."""

import logging
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ray

from noisetune.config import TrialConfig
from noisetune.datasets import Datasets
from noisetune.sweep import MODE
from noisetune.sweep.execution.cluster import LOOK_SECONDS, hosts, is_there, joined, marked, on_host

COMPARED = ("ray", "torch", "torchvision", "numpy", "optuna", "cleanlab")
SHARED_MEMORY = Path("/dev/shm")
COUNT_GPUS = "import sys, torch; sys.stdout.write(str(torch.cuda.device_count()))"
GPU_SECONDS = 60.0


@dataclass(frozen=True)
class Host:
    """A host's facts; `fault` where it could not be asked.

    `ahead` is by how many seconds its clock is ahead of the driver's, to within `within` seconds.
    `gpus` are those that Ray has on it, `seen_gpus` those that torch sees. `sees_store` is None
    where nothing was put there for it; `data` has, by name, what is wrong with a data set.
    """

    address: str
    versions: dict[str, str]
    token: bool = False
    gpus: float = 0.0
    seen_gpus: int = 0
    shared_memory: int = 0
    sees_store: bool | None = None
    data: dict[str, str] | None = None
    ahead: float = 0.0
    within: float = 0.0
    fault: str = ""


def facts(store: str | None, mark: str, trials: Sequence[tuple[str, Any]]) -> Host:
    """This host's; of `trials` (name, configuration as JSON) the data are looked for."""
    return Host(
        address="",
        versions=versions(),
        token=os.environ.get(MODE) == "token",
        seen_gpus=_gpus(),
        shared_memory=shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.exists() else 0,
        sees_store=None if store is None else is_there(store, mark),
        data={name: why for name, raw in trials if (why := _unreadable(name, raw))},
    )


def versions() -> dict[str, str]:
    """Of Python and the packages whose versions hosts must share."""
    return {"Python": platform.python_version(), **{name: _version(name) for name in COMPARED}}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _gpus() -> int:
    """Counted in a process of its own: Ray hides them from a task that has none."""
    env = {name: text for name, text in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    words = [sys.executable, "-c", COUNT_GPUS]
    try:
        said = subprocess.run(words, env=env, capture_output=True, timeout=GPU_SECONDS)
    except subprocess.TimeoutExpired:
        return 0
    return int(said.stdout) if said.stdout.strip().isdigit() else 0


def _unreadable(name: str, raw: Any) -> str:
    """Why a trial's images cannot be read here; nothing where they can."""
    try:
        seen = Datasets(fetch=False).load(TrialConfig.parse(raw, name).data).seen
    except Exception as error:
        return str(error)
    return "" if seen else "not there: the first trial downloads it"


def clock() -> float:
    return time.time()


def look_at_hosts(
    address: str, store: str | None, trials: Sequence[tuple[str, Any]]
) -> tuple[dict[str, float], list[Host]]:
    """What the cluster at an address has, by Ray's names, and the facts of each of its hosts.

    A store that a host must see has a mark for as long as this takes. UserError where no cluster
    answers.
    """
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    placed = nullcontext("") if store is None else marked(store)
    with joined(address, **quiet), placed as mark:
        nodes = hosts()
        asked = [on_host(node["NodeID"], facts, store, mark, trials) for node in nodes]
        found = [_answer(node, each) for node, each in zip(nodes, asked, strict=True)]
        return ray.cluster_resources(), found


def _answer(node: dict[str, Any], asked: ray.ObjectRef) -> Host:
    where = {"address": node["NodeManagerAddress"], "gpus": node["Resources"].get("GPU", 0.0)}
    try:
        host = ray.get(asked, timeout=LOOK_SECONDS)
        ahead, within = _offset(node["NodeID"])
    except (ray.exceptions.RayError, TimeoutError) as error:
        return Host(versions={}, fault=str(error).strip().splitlines()[-1], **where)
    return replace(host, ahead=ahead, within=within, **where)


def _offset(node: str) -> tuple[float, float]:
    """A host's clock less ours, and half the time of the way there and back that bounds it."""
    sent = time.time()
    theirs = ray.get(on_host(node, clock), timeout=LOOK_SECONDS)
    received = time.time()
    return theirs - (sent + received) / 2, (received - sent) / 2

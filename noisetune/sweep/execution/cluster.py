"""A running Ray cluster: reached, given this checkout of noisetune, and seen to share the store."""

import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from noisetune.errors import UserError
from noisetune.plugins import for_hosts
from noisetune.store import Store

PACKAGE = Path(__file__).resolve().parents[2]
CONNECT_SECONDS = 10.0
LOOK_SECONDS = 120.0


@contextmanager
def joined(address: str, **quiet: Any) -> Iterator[None]:
    """The cluster at an address, until it is left."""
    connect(address, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


def connect(address: str, **quiet: Any) -> None:
    """Join the cluster at HOST:PORT, or the one that `auto` finds; UserError where there is none.

    Its hosts get this checkout of noisetune, whichever they have installed, and the packages whose
    entry points are plug-ins here; what those import beside noisetune must be there.
    """
    packages, variables = for_hosts()
    environment = {
        "py_modules": [str(PACKAGE), *packages],
        "excludes": ["__pycache__"],
        "env_vars": {"RAY_CHDIR_TO_TRIAL_DIR": "0", **variables},
    }
    try:
        _knock(address)
        ray.init(address=address, runtime_env=environment, **quiet)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise UserError(
            f"--address {address}: no Ray cluster answers there ({error}); start one with "
            "`ray start --head`, see that both have the same ~/.ray/auth_token, or leave --address "
            "out to run on this machine"
        ) from None
    try:
        _be_called_back()
    except ray.exceptions.RayError as error:
        ray.shutdown()
        raise UserError(
            f"--address {address}: the cluster cannot call this driver ({type(error).__name__}); "
            "where there is a ~/.ray/auth_token, start every node with RAY_AUTH_MODE=token as "
            "infra/ray-node does, or set RAY_AUTH_MODE=disabled for a cluster without tokens"
        ) from None


def _be_called_back() -> None:
    """RayError where the cluster's head is turned away here, as it is if it shows no token: each
    actor would then end before it began."""
    caller: Any = ray.remote(num_cpus=0)(_Caller).remote()
    ray.get(caller.ready.remote(), timeout=LOOK_SECONDS)


class _Caller:
    def ready(self) -> bool:
        return True


def _knock(address: str) -> None:
    """OSError where nobody listens: Ray itself would ask for minutes before it says so."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


def check_shared(store: str) -> None:
    """UserError where a host of the cluster does not see what the driver puts into the store."""
    with marked(store) as mark:
        blind = [node for node in hosts() if not _sees(node["NodeID"], store, mark)]
    if blind:
        names = ", ".join(sorted({node["NodeManagerAddress"] for node in blind}))
        raise UserError(
            f"--store {store}: {names} of the cluster does not see what this host puts there; give "
            "a folder that all hosts share (--mlruns or --store), or a URL that all reach"
        )


@contextmanager
def marked(store: str) -> Iterator[str]:
    """A file in the store, for as long as others look for it; its name there."""
    backend = Store.open(store).backend
    mark = f".tmp/seen-{uuid.uuid4().hex}"
    backend.create(mark, b"")
    try:
        yield mark
    finally:
        with suppress(FileNotFoundError):
            backend.remove(mark)


def hosts() -> list[dict[str, Any]]:
    """The cluster's nodes, in Ray's words, that trials run on."""
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]


def on_host(node: str, function: Callable[..., Any], *values: Any) -> ray.ObjectRef:
    """What a function gives on a node of the cluster, for ray.get to wait for."""
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(num_cpus=0)(function).options(scheduling_strategy=there).remote(*values)


def _sees(node: str, store: str, mark: str) -> bool:
    try:
        return ray.get(on_host(node, is_there, store, mark), timeout=LOOK_SECONDS)
    except (ray.exceptions.RayError, TimeoutError) as error:
        raise UserError(
            f"--address: node {node[:8]} of the cluster cannot run noisetune: {error}"
        ) from None


def is_there(store: str, mark: str) -> bool:
    """Whether this host sees a mark in a store."""
    return Store.open(store).backend.exists(mark)

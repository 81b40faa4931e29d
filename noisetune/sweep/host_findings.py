"""What each host of a cluster lacks beside the driver's."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from noisetune.sweep.execution.hosts import Host
from noisetune.sweep.findings import GB, Finding, State
from noisetune.texts import counted

CLOCK_WARNING, CLOCK_FAULT = 2.0, 15.0
"""Seconds; a lease lives for 30, and in an object store by the clocks of those that hold it."""
SHARED_MEMORY_WARNING = 0.5 * GB


@dataclass(frozen=True)
class _Lack:
    text: str
    remedy: str
    fault: bool = True


def host_findings(hosts: Sequence[Host], ours: Mapping[str, str]) -> list[Finding]:
    """One finding for each host that lacks something, or one that none does; `ours` are the
    driver's versions."""
    found = [finding for host in hosts if (finding := _finding(host, ours)) is not None]
    if found:
        return found
    if not hosts:
        return [
            Finding("hosts", "warning", "no host has a CPU yet", "start one, or see that it grows")
        ]
    names = ", ".join(host.address for host in hosts)
    return [Finding("hosts", "ok", f"{counted(len(hosts), 'host')} ({names}) as this one")]


def _finding(host: Host, ours: Mapping[str, str]) -> Finding | None:
    lacks = list(_lacks(host, ours))
    if not lacks:
        return None
    state: State = "fault" if any(lack.fault for lack in lacks) else "warning"
    text = "; ".join(lack.text for lack in lacks)
    remedies = dict.fromkeys(lack.remedy for lack in lacks)
    return Finding(f"host {host.address}", state, text, "; ".join(remedies))


def _lacks(host: Host, ours: Mapping[str, str]) -> Iterator[_Lack]:
    if host.fault:
        yield _Lack(f"it cannot run noisetune: {host.fault}", "install what it names there")
        return
    yield from _of_packages(host, ours)
    if not host.token:
        yield _Lack(
            "it asks for no token: whoever reaches its ports runs programs on it",
            "start every host with RAY_AUTH_MODE=token and one ~/.ray/auth_token",
            fault=False,
        )
    if host.sees_store is False:
        yield _Lack(
            "it does not see what this host puts into the store",
            "give a folder that all hosts share (--mlruns or --store), or a URL that all reach",
        )
    for name, why in (host.data or {}).items():
        yield _Lack(f"data of {name}: {why}", "put the data where every host finds them", False)
    yield from _of_the_machine(host)


def _of_packages(host: Host, ours: Mapping[str, str]) -> Iterator[_Lack]:
    other = [
        f"{name} {host.versions.get(name)} where this host has {own}"
        for name, own in ours.items()
        if host.versions.get(name) != own
    ]
    if other:
        yield _Lack(", ".join(other), "install the same everywhere: pip install -c constraints.txt")


def _of_the_machine(host: Host) -> Iterator[_Lack]:
    if host.seen_gpus < host.gpus:
        yield _Lack(
            f"Ray has {host.gpus:g} GPUs of it, torch sees {host.seen_gpus}",
            "install a driver that suits torch's CUDA there, or start its Ray with --num-gpus",
        )
    if (skew := abs(host.ahead) - host.within) > CLOCK_WARNING:
        way = "ahead" if host.ahead > 0 else "behind"
        yield _Lack(
            f"its clock is {abs(host.ahead):.1f} s {way} (± {host.within:.1f})",
            "set the clocks of all hosts by one time server",
            skew > CLOCK_FAULT,
        )
    if host.shared_memory < SHARED_MEMORY_WARNING:
        yield _Lack(
            f"{host.shared_memory / GB:.2f} GB of shared memory are free",
            "give containers more of it (--shm-size, or a volume in memory at /dev/shm)",
            False,
        )

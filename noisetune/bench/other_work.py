"""Whether a machine did other work while something was measured on it."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from threading import Event, Thread
from typing import Any

import psutil

from noisetune.bench.rounds import Spent

OTHERS, STEAL = 0.05, 0.02
"""Shares of the processors' time from which a measurement is warned of."""
LOOK_SECONDS = 0.5
IDLE = {"idle", "iowait"}
COUNTED_TWICE = {"guest", "guest_nice"}  # in user and nice, too


class OwnTime:
    """Seconds of processors that this process and all below it have had.

    A process is known from the first look at it to the last: what it did after that is not.
    """

    def __init__(self) -> None:
        self._seen: dict[psutil.Process, float] = {}

    def seconds(self) -> float:
        me = psutil.Process()
        for process in (me, *me.children(recursive=True)):
            try:
                self._seen[process] = sum(process.cpu_times()[:2])
            except psutil.Error:
                continue  # it has ended a moment ago
        return sum(self._seen.values())


@dataclass(frozen=True)
class OtherWork:
    """What a machine did beside: shares, 0..1, of the time of all its processors.

    `others` is the part that other processes had, `steal` what the hypervisor gave to other
    machines. `load_before` is the load (processes that run or wait) of the minute before, shown and
    not judged by: it may be that of one's own last command.
    """

    others: float
    steal: float
    load_before: float

    def warning(self) -> str | None:
        """What to say of it; None where it is little."""
        if self.others <= OTHERS and self.steal <= STEAL:
            return None
        return (
            f"other work was on the machine: other processes had {self.others:.0%} of its "
            f"processors' time, its hypervisor took {self.steal:.0%}; wall times say something of "
            "that work, too, and so do CPU times of threads that wait for each other: go by CPU "
            "times of one thread, or measure again when it is quiet"
        )

    def figures(self) -> dict[str, Any]:
        return {"other_work": asdict(self), "warning": self.warning()}


class MachineWatch:
    """Looks at the machine from now on. The processors are those of the whole machine, also where
    a container may use some of them only. A process that began and ended while nothing was measured
    with `spent_by` is not known to be ours."""

    def __init__(self) -> None:
        self._own = OwnTime()
        self._own_before, self._before = self._own.seconds(), _times()
        self._load = psutil.getloadavg()[0]

    def spent_by(self, run: Callable[[], None]) -> Spent:
        """What `run` takes, with all processes below this one: of one that ends meanwhile, all but
        its last half second."""
        over = Event()
        before, began = self._own.seconds(), time.monotonic()

        def look() -> None:
            while not over.wait(LOOK_SECONDS):
                self._own.seconds()

        looking = Thread(target=look, daemon=True)
        looking.start()
        try:
            run()
        finally:
            over.set()
            looking.join()
        return Spent(time.monotonic() - began, self._own.seconds() - before)

    def so_far(self) -> OtherWork:
        own = self._own.seconds() - self._own_before
        spent = {name: after - self._before[name] for name, after in _times().items()}
        whole = sum(spent.values()) or 1.0
        steal = spent.get("steal", 0.0)
        busy = whole - steal - sum(spent[name] for name in IDLE & spent.keys())
        return OtherWork(max(0.0, busy - own) / whole, steal / whole, self._load)


def _times() -> dict[str, float]:
    """Seconds of all processors since the machine began, by what they did."""
    times = psutil.cpu_times()._asdict()
    return {name: value for name, value in times.items() if name not in COUNTED_TWICE}

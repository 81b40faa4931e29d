"""How many trials run at once, and on which hosts, while hosts join a cluster and leave it."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from noisetune.errors import UserError
from noisetune.sweep.resources.capacity import fitting_trials
from noisetune.sweep.spec.config import SweepConfig

LOOK_SECONDS = 5.0
ACCELERATOR = "accelerator_type:"
"""What Ray puts before the name of a host's GPU, among what the host has."""

Host = Mapping[str, float]
"""CPUs and GPUs of a host, by Ray's names."""


class Slots:
    """What `hosts` have room for, looked at now and then.

    Where `resources.gpu_on` has shares of its own for some kind of host, each kind is counted by
    itself, and a trial is placed on one; else there is a single kind, None. UserError where there
    is room for none to begin with; later the last numbers stand.
    """

    def __init__(self, config: SweepConfig, hosts: Callable[[], Sequence[Host]]) -> None:
        self._config, self._hosts = config, hosts
        self._kinds, self._looked = self._look(), time.monotonic()

    @property
    def kinds(self) -> dict[str | None, int]:
        """Trials at once by kind of host, at most some seconds old."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            with suppress(UserError):
                self._kinds = self._look()
        return self._kinds

    def now(self) -> int:
        """The number of trials at once."""
        fitting = sum(self.kinds.values())
        return min(fitting, self._config.max_concurrent or fitting)

    def place(self, busy: Mapping[str | None, int]) -> str | None:
        """The kind of host that the next trial goes to: with `busy` ones on each, that which has
        most room left."""
        return max(self.kinds.items(), key=lambda kind: kind[1] - busy.get(kind[0], 0))[0]

    def _look(self) -> dict[str | None, int]:
        resources, found = self._config.resources, dict[str | None, int]()
        fault: UserError | None = None
        for kind, has in self._grouped().items():
            share = resources.share_on(kind, resources.gpu)
            try:
                own = resources.model_copy(update={"gpu": share})
                found[kind] = fitting_trials(own, has, None)
            except UserError as error:
                fault = error
        if fault is not None and not found:
            raise fault
        return found

    def _grouped(self) -> dict[str | None, Counter[str]]:
        groups: dict[str | None, Counter[str]] = {}
        for host in self._hosts():
            group = groups.setdefault(self._kind(host), Counter())
            group.update({name: host.get(name, 0) for name in ("CPU", "GPU")})
        return groups or {None: Counter()}

    def _kind(self, host: Host) -> str | None:
        if not self._config.resources.gpu_on:
            return None
        names = (name.removeprefix(ACCELERATOR) for name in host if name.startswith(ACCELERATOR))
        return next(names, None)

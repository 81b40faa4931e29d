"""How many trials run at once, while hosts join a cluster and leave it."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from noisetune.errors import UserError
from noisetune.sweep.resources.capacity import fitting_trials
from noisetune.sweep.spec.config import SweepConfig

LOOK_SECONDS = 5.0


class Slots:
    """What `resources` (CPUs and GPUs, by Ray's names) have room for, looked at now and then.

    UserError where there is room for none to begin with; later the last number stands.
    """

    def __init__(self, config: SweepConfig, resources: Callable[[], Mapping[str, float]]) -> None:
        self._config, self._resources = config, resources
        self._count, self._looked = self._look(), time.monotonic()

    def _look(self) -> int:
        return fitting_trials(
            self._config.resources, self._resources(), self._config.max_concurrent
        )

    def now(self) -> int:
        """The number of trials, at most some seconds old."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            with suppress(UserError):
                self._count = self._look()
        return self._count

"""What a sweep has spent, and whether it may go on."""

import time
from collections.abc import Callable

from noisetune.sweep.spec.resources import Budget
from noisetune.sweep.study.ledger import Ledger

SECONDS_BETWEEN_NOTES = 10.0
HOUR = 3600.0


class Spending:
    """Counts hours and GPU hours, and keeps them in the ledger over a resume."""

    def __init__(
        self, budget: Budget, ledger: Ledger, clock: Callable[[], float] | None = None
    ) -> None:
        self.budget, self.ledger, self.clock = budget, ledger, clock or time.monotonic
        spent = ledger.spent
        self.hours_before, self.gpu_hours = spent.get("hours", 0.0), spent.get("gpu_hours", 0.0)
        self.trial_hours, self.trials = spent.get("trial_hours", 0.0), spent.get("trials", 0)
        self.began = self.noted = self.clock()
        self.held: dict[str, tuple[float, float]] = {}
        # Of those that are held, and each times the moment since when: a thousand may be.
        self._gpus = self._since = 0.0

    @property
    def hours(self) -> float:
        """Hours that drivers of the sweep have run, up to now."""
        return self.hours_before + (self.clock() - self.began) / HOUR

    @property
    def gpu_hours_now(self) -> float:
        """GPU hours of the trials that ended and of those that run."""
        return self.gpu_hours + (self._gpus * self.clock() - self._since) / HOUR

    def begin(self, trial: str, gpu_share: float) -> None:
        """From now on the trial holds so many GPUs, a fraction being of one."""
        self.held[trial] = held = gpu_share, self.clock()
        self._count(*held)

    def end(self, trial: str, over: bool = True) -> None:
        """The trial holds nothing any more; it is not `over` where it will go on later."""
        now = self.clock()
        share, since = self.held.pop(trial, (0.0, now))
        self._count(-share, since)
        hours = (now - since) / HOUR
        self.gpu_hours += share * hours
        self.trial_hours += hours
        self.trials += over

    def _count(self, gpus: float, since: float) -> None:
        self._gpus += gpus
        self._since += gpus * since

    def note(self, at_least: float = 0.0) -> None:
        """Write what was spent into the ledger, if that was done `at_least` seconds ago."""
        if self.clock() - self.noted < at_least:
            return
        self.ledger.spent = {
            "hours": self.hours,
            "gpu_hours": self.gpu_hours_now,
            "trial_hours": self.trial_hours,
            "trials": self.trials,
        }
        self.noted = self.clock()

    def exhausted(self, reserved: int = 0, gpu_share: float = 0.0, slots: int = 1) -> str | None:
        """Which part of the budget is used up, in words, with `reserved` replicates to come.

        A replicate is taken to need what the trials so far needed on the mean.
        """
        later = reserved * self.trial_hours / max(1, self.trials)
        for field, used, kept in (
            ("hours", self.hours, later / slots),
            ("gpu_hours", self.gpu_hours_now, later * gpu_share),
        ):
            limit = getattr(self.budget, field)
            if limit is not None and used + kept >= limit:
                rest = f", and {kept:.3g} are kept for {reserved} replicates" if kept else ""
                return f"budget.{field}: {used:.3g} of {limit:g} are used{rest}"
        return None

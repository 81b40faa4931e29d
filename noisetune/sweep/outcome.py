"""How the drive of a sweep ended."""

from dataclasses import dataclass

from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.scheduler import Scheduler


@dataclass(frozen=True)
class Outcome:
    """How the drive of a sweep ended; `delivered` says whether MLflow was told all of it.

    `signal` is that of a Ctrl-C (SIGINT), a batch system (SIGTERM) or a closed terminal (SIGHUP).
    """

    sweep: Sweep
    ledger: Ledger
    scheduler: Scheduler
    delivered: bool
    signal: int | None = None

    @property
    def failed(self) -> list[str]:
        """The trials that failed, but for those that were run again."""
        records = self.ledger.records(self.sweep.cells)
        return [each.name for each in records if each.state == "failed" and not each.replaced]

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended it, and not its last trial or its budget."""
        return not self.scheduler.finished and self.scheduler.stopped is None

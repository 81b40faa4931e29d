"""Who looks at the sweeps that are measured."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from noisetune.records import TrialRecord
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.watcher import Watcher


class SweepWatch(Watcher):
    """Watches a sweep, and says beside the figures (to stderr) what it has to say.

    A trial that fails ends it: RuntimeError with the reason, for there are no figures without it.
    """

    def say(self, line: str) -> None:
        print(line, file=sys.stderr)

    @contextmanager
    def watching(self, sweep: Sweep, ledger: Ledger) -> Iterator[Sequence[Watcher]]:
        """While its trials run."""
        yield [self]

    def ended(self, trial: TrialRecord) -> None:
        if trial.state == "failed":
            raise RuntimeError(f"{trial.name} ended without a result: {trial.reason}")

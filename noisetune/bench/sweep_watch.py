"""Who looks at the sweeps that are measured."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.watcher import Watcher


class SweepWatch(Watcher):
    """Watches a sweep, and says beside the figures (to stderr) what it has to say."""

    def say(self, line: str) -> None:
        print(line, file=sys.stderr)

    @contextmanager
    def watching(self, sweep: Sweep, ledger: Ledger) -> Iterator[Sequence[Watcher]]:
        """While its trials run."""
        yield [self]

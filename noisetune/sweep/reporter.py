"""Who hears what a sweep has to say: the terminal, a notebook, a benchmark, or nobody."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.watcher import Watcher

Say = Callable[[str], None]


class Reporter(Protocol):
    """`say` takes a line; `watching` gives those who are told what happens to trials.

    It is entered when these begin, with all that the ledger knows by then, and left when the last
    has ended.
    """

    def say(self, line: str) -> None: ...

    def watching(
        self, sweep: Sweep, ledger: Ledger
    ) -> AbstractContextManager[Sequence[Watcher]]: ...


@dataclass(frozen=True)
class Listeners:
    """A function for the lines, and watchers; none by default."""

    hear: Say | None = None
    watchers: Sequence[Watcher] = ()

    def say(self, line: str) -> None:
        if self.hear is not None:
            self.hear(line)

    def watching(self, sweep: Sweep, ledger: Ledger) -> AbstractContextManager[Sequence[Watcher]]:
        return nullcontext(self.watchers)


NOBODY = Listeners()

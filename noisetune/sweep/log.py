"""The log of a sweep: what it said and when, how its trials ended, tracebacks: log.txt."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from noisetune.records import TrialRecord
from noisetune.sweep.reporter import Reporter
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.watcher import Watcher

SAID = logging.getLogger("noisetune.said")
"""What a reporter has said already: for the log alone."""
SAID.propagate = False
SAID.setLevel(logging.INFO)

FORMAT, TIME = "%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S"


@contextmanager
def sweep_log(file: Path) -> Iterator[None]:
    """All that is said, warned of and raised inside is added to a file.

    A file that cannot be written stops nothing: the ledger beside it tells of the disk.
    """
    with ExitStack() as stack:
        for handler in _opened(file):
            stack.enter_context(closing(handler))
            root = logging.getLogger()
            if not root.handlers and logging.lastResort is not None:
                # Who has set up no logging sees warnings as before.
                stack.enter_context(_attached(root, logging.lastResort))
            stack.enter_context(_attached(root, handler))
            stack.enter_context(_attached(SAID, handler))
        try:
            yield
        except BaseException as error:
            SAID.error("%s: %s", type(error).__name__, error, exc_info=True)
            raise


@contextmanager
def _attached(logger: logging.Logger, handler: logging.Handler) -> Iterator[None]:
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _File(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        pass


def _opened(file: Path) -> list[logging.Handler]:
    try:
        handler = _File(file, encoding="utf-8")
    except OSError:
        return []
    handler.setFormatter(logging.Formatter(FORMAT, TIME))
    return [handler]


@dataclass(frozen=True)
class Logged:
    """A reporter whose words, and the ends of trials, are logged, too."""

    reporter: Reporter

    def say(self, line: str) -> None:
        self.reporter.say(line)
        SAID.info("%s", line)

    @contextmanager
    def watching(self, sweep: Sweep, ledger: Ledger) -> Iterator[Sequence[Watcher]]:
        with self.reporter.watching(sweep, ledger) as watchers:
            yield [*watchers, TrialLog()]


class TrialLog(Watcher):
    """A watcher that logs when trials start, and how they end."""

    def started(self, trial: TrialRecord) -> None:
        SAID.info("%s: started", trial.name)

    def ended(self, trial: TrialRecord) -> None:
        level = logging.WARNING if trial.state == "failed" else logging.INFO
        SAID.log(level, "%s", end_line(trial))


def end_line(trial: TrialRecord, metric: str = "objective") -> str:
    """How a trial ended, in a line; `metric` is what its objective is called."""
    value = "" if trial.objective is None else f" {metric} {trial.objective:.4f}"
    why = f" ({trial.reason})" if trial.reason else ""
    return f"{trial.name}: {trial.state}{value}{why}"

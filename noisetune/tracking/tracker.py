"""The one writer: what the driver says goes to the outbox, a thread brings it to MLflow."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from noisetune.answers import check_database, is_database, without_password
from noisetune.errors import UserError
from noisetune.files import check_output, make_folder
from noisetune.records import MetricPoint, TrialRecord, TrialResult, flatten
from noisetune.tracking import SQLITE
from noisetune.tracking.outbox import Message, Outbox

if TYPE_CHECKING:
    from noisetune.tracking.mlflow_runs import MlflowRuns

FLUSH_SECONDS = 1.0
RETRY_SECONDS = 2.0
MESSAGES_AT_ONCE = 500

REMEDY = "start that server, or give no --tracking-uri to use the SQLite file in the mlruns folder"

log = logging.getLogger(__name__)


class Receiver(Protocol):
    """Who is told; to be told a message twice must change nothing."""

    def apply(self, messages: Sequence[Message]) -> None: ...


class Tracker:
    """Watches a sweep for MLflow. `connect` gives something with `apply(messages)`.

    Telling it never waits for the server: while that is away the outbox grows, and is delivered
    when it answers again. `close` gives up when nothing was delivered for `patience` seconds.
    Nothing is delivered once `mine` says that the sweep has another driver.
    """

    def __init__(
        self,
        outbox: Outbox,
        connect: Callable[[], Receiver],
        patience: float = 60.0,
        mine: Callable[[], bool] = lambda: True,
    ) -> None:
        self.outbox, self.patience, self.mine = outbox, patience, mine
        self._connect = connect
        self._receiver: Receiver | None = None
        self._away = False
        self._new, self._closing = threading.Event(), threading.Event()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._deliver, name="tracker", daemon=True)
        self._thread.start()

    def sweep(self, state: str, parameters: Mapping[str, Any]) -> None:
        """The sweep itself: running, or how it ended."""
        self._say(kind="sweep", state=state, parameters=dict(parameters))

    def started(self, trial: TrialRecord) -> None:
        self._say(
            kind="started",
            trial=trial.name,
            condition=trial.condition,
            trial_kind=trial.kind,
            parameters=flatten(trial.config),
        )

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        self._say(
            kind="point",
            trial=trial.name,
            stage=point.stage,
            step=point.step,
            values=point.values,
            made=point.made,
        )

    def ended(self, trial: TrialRecord, result: TrialResult | None) -> None:
        self._say(
            kind="ended",
            trial=trial.name,
            state=trial.state,
            reason=trial.reason,
            values=trial.metrics,
            result=None if result is None else result.to_json(),
        )

    def interrupted(self, trial: TrialRecord) -> None:
        """The sweep was stopped while this trial ran; it is taken up again by a resume."""
        reason = "the sweep was stopped; a resume goes on with this trial"
        self._say(
            kind="ended",
            trial=trial.name,
            state="interrupted",
            reason=reason,
            values={},
            result=None,
        )

    def artifact(self, path: str, text: str, trial: str = "") -> None:
        """A text file of a trial, or of the sweep itself."""
        self._say(kind="artifact", trial=trial, path=path, text=text)

    def tags(self, trial: str, tags: Mapping[str, str]) -> None:
        self._say(kind="tags", trial=trial, tags=dict(tags))

    def catch_up(self, records: Iterable[TrialRecord]) -> None:
        """Say how trials ended that the ledger knows of, and a killed driver had no time to say."""
        ends = (message for message in self.outbox.all() if message["kind"] == "ended")
        said = {message["trial"]: message["state"] for message in ends}
        for record in records:
            if record.state != "running" and said.get(record.name) != record.state:
                self.started(record)
                self.ended(record, None)

    def close(self) -> bool:
        """Deliver what is left; says whether all of it was."""
        self._closing.set()
        self._new.set()
        before = -1
        while self._thread.is_alive() and self.outbox.delivered > before:
            before = self.outbox.delivered
            self._thread.join(self.patience)
        self._given_up.set()
        return not self.outbox.waiting

    def abandon(self) -> None:
        """Deliver nothing more: another driver has taken over, and what waits is its to deliver."""
        self._given_up.set()
        self._closing.set()
        self._new.set()
        self._thread.join(self.patience)

    @property
    def left(self) -> int:
        """How many messages were not delivered yet."""
        return sum(1 for _ in self.outbox.unread())

    def _say(self, made: float | None = None, **message: Any) -> None:
        self.outbox.append(message | {"made": time.time() if made is None else made})
        self._new.set()

    def _deliver(self) -> None:
        while not self._given_up.is_set():
            # Looked at first: what is said before `close` is in the outbox by then.
            last = self._closing.is_set()
            if not self._try():
                self._given_up.wait(RETRY_SECONDS)
            elif last:
                return
            else:
                self._new.wait()
                self._new.clear()
                # Points that come together go in one request.
                self._closing.wait(FLUSH_SECONDS)

    def _next_batch(self) -> list[tuple[int, Message]]:
        return list(itertools.islice(self.outbox.unread(), MESSAGES_AT_ONCE))

    def _try(self) -> bool:
        """Deliver all that waits; False where that failed, and a new connection must try again."""
        try:
            self._receiver = self._receiver or self._connect()
            while not self._given_up.is_set() and self.mine() and (batch := self._next_batch()):
                self._receiver.apply([message for _, message in batch])
                self.outbox.deliver_up_to(batch[-1][0])
        except Exception as error:
            if not self._away:
                what = f"{type(error).__name__}: {error}"
                log.warning("MLflow is not told for now, will try again (%s)", what)
            # Only a fresh one looks at how much of the batch has arrived.
            self._receiver, self._away = None, True
            return False
        if self._away:
            log.warning("MLflow was told what had waited")
        self._away = False
        return True


class Nobody:
    """Takes every message, and tells it to nobody."""

    def apply(self, messages: Sequence[Message]) -> None:
        pass


def open_tracker(
    uri: str | None,
    sweep: str,
    outbox: Path,
    artifacts: Path | None,
    mine: Callable[[], bool] = lambda: True,
    identity: str = "",
) -> Tracker:
    """A tracker for MLflow at `uri`; `artifacts` is their folder where `uri` is a database file.

    `identity` tells the sweep's runs from those of an earlier sweep of its name. Without a `uri`
    the outbox is all that hears of the sweep.
    """

    def connect() -> Receiver:
        return Nobody() if uri is None else _open_runs(uri, sweep, artifacts, identity)

    return Tracker(Outbox(outbox), connect, mine=mine)


def check_tracking(uri: str | None, sweep: str, artifacts: Path | None) -> None:
    """UserError where MLflow at `uri` cannot take this sweep; to be asked before a sweep starts."""
    if uri is None:
        return
    try:
        if uri.startswith(SQLITE):
            # MLflow itself would try for minutes, and say so line by line.
            _check_database(Path(uri.removeprefix(SQLITE)))
        elif is_database(uri):
            check_database("--tracking-uri", uri, REMEDY)
        _open_runs(uri, sweep, artifacts, quiet=True)
    except UserError:
        raise
    except Exception as error:
        why = without_password(" ".join(str(error).split())[:300])
        raise UserError(
            f"--tracking-uri: MLflow at {without_password(uri)} does not answer ({why}); {REMEDY}"
        ) from error


def _check_database(file: Path) -> None:
    """UserError where no database file can be there."""
    make_folder(file.parent, "--tracking-uri")
    check_output(file, "--tracking-uri")


def _open_runs(
    uri: str, sweep: str, artifacts: Path | None, identity: str = "", quiet: bool = False
) -> "MlflowRuns":
    # Importing mlflow takes seconds, and sets the level of its loggers.
    from noisetune.tracking.mlflow_runs import MlflowRuns

    logging.getLogger("mlflow").setLevel(logging.CRITICAL if quiet else logging.WARNING)
    return MlflowRuns(uri, sweep, artifacts, identity)

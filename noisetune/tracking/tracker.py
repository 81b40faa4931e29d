"""The one writer: what the driver says goes to the outbox, a thread brings it to MLflow."""

import itertools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noisetune.answers import answering, check_database, is_database, without_password
from noisetune.errors import UserError
from noisetune.files import check_output, make_folder
from noisetune.lines import Check, nothing
from noisetune.records import MetricPoint, Metrics, TrialRecord, TrialResult
from noisetune.tracking.about import NOTHING, About
from noisetune.tracking.database import database_file
from noisetune.tracking.looking import REFUSED, REMEDY
from noisetune.tracking.messages import (
    Message,
    ended_message,
    interrupted_message,
    new_message,
    point_message,
    shown,
    started_message,
    sweep_message,
    system_message,
    unsaid,
)
from noisetune.tracking.outbox import Outbox
from noisetune.tracking.telling import Receiver, Teller

if TYPE_CHECKING:
    from noisetune.tracking.mlflow_runs import MlflowRuns

FLUSH_SECONDS = 1.0
RETRY_SECONDS = 2.0
MESSAGES_AT_ONCE = 500


log = logging.getLogger(__name__)


class Tracker:
    """Watches a sweep for MLflow. `connect` gives something with `apply(messages)`.

    Telling it never waits for the server: while that is away the outbox grows, and is delivered
    when it answers again. `close` gives up when nothing was delivered for `patience` seconds.
    Nothing is delivered unless `mine` says that the sweep has no other driver. Where the server was
    emptied, or put back to what it was, it is told again what it does not have; what it refuses
    for ever is set aside, and named. `about` is what MLflow shows of runs beside what they do.
    """

    def __init__(
        self,
        outbox: Outbox,
        connect: Callable[[], Receiver],
        patience: float = 60.0,
        mine: Callable[[], bool] = lambda: True,
        about: About = NOTHING,
    ) -> None:
        self.outbox, self.patience, self.mine, self.about = outbox, patience, mine, about
        self._connect = connect
        self._teller = Teller(self._connected, self._set_aside)
        self._away, self._batches = False, 0
        self._new, self._closing = threading.Event(), threading.Event()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._deliver, name="tracker", daemon=True)
        self._thread.start()

    def sweep(self, state: str, parameters: Mapping[str, Any], note: str = "") -> None:
        """The sweep itself: running, or how it ended; `note` is its description, in Markdown."""
        self._say(sweep_message(state, parameters, note=note, **self.about.of_sweep()))

    def started(self, trial: TrialRecord) -> None:
        self._say(started_message(trial, about=self.about))

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        self._say(point_message(trial, point))

    def result(self, trial: TrialRecord, result: TrialResult) -> None:
        self._say(new_message("result", trial=trial.name, result=result.to_json()))

    def ended(self, trial: TrialRecord) -> None:
        self._say(ended_message(trial))

    def interrupted(self, trial: TrialRecord) -> None:
        """The sweep was stopped while this trial ran; it is taken up again by a resume."""
        self._say(interrupted_message(trial))

    def artifact(self, path: str, text: str, trial: str = "") -> None:
        """A text file of a trial, or of the sweep itself."""
        self._say(new_message("artifact", trial=trial, path=path, text=text))

    def file(self, path: str, file: str, trial: str = "") -> None:
        """A `file` of the sweep's folder, by its path in it, as the artifact `path`."""
        self._say(new_message("file", trial=trial, path=path, file=file))

    def model(self, name: str, folder: str, trial: str) -> None:
        """A model of a trial, a `folder` of the sweep's, to be registered under `name`."""
        self._say(new_message("model", trial=trial, path="model", folder=folder, name=name))

    def system(self, values: Metrics) -> None:
        """What the driver's machine is doing at this moment."""
        self._say(system_message(values))

    def tags(self, trial: str, tags: Mapping[str, str]) -> None:
        self._say(new_message("tags", trial=trial, tags=dict(tags)))

    def catch_up(self, records: Iterable[TrialRecord]) -> None:
        """Say how trials ended that the ledger knows of, and a killed driver had no time to say."""
        for each in list(unsaid(self.outbox.all(), records, self.about)):
            self._say(each)

    def close(self) -> bool:
        """Deliver what is left; says whether all of it was."""
        self._closing.set()
        self._new.set()
        before = -1
        while self._thread.is_alive() and self._batches > before:
            before = self._batches
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

    def _say(self, message: Message) -> None:
        self.outbox.append(message)
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
            # First: whoever is told says what there is to tell.
            if self.mine():
                self._teller.connect()
            while not self._given_up.is_set() and self.mine() and (batch := self._next_batch()):
                self._deliver_batch(batch)
        except Exception as error:
            if not self._away and self.mine():
                what = f"{type(error).__name__}: {error}"
                log.warning("MLflow is not told for now, will try again (%s)", what)
            self._teller.disconnect()
            self._away = True
            return False
        if self._away:
            log.warning("MLflow was told what had waited")
        self._away = False
        return True

    def _connected(self) -> Receiver:
        """Whom to tell, with the outbox set to what that has."""
        receiver = self._connect()
        if receiver.kept is not None:
            self.outbox.deliver_up_to(self.outbox.place_of(receiver.kept))
        return receiver

    def _deliver_batch(self, batch: Sequence[tuple[int, Message]]) -> None:
        start, (end, _) = self.outbox.delivered, batch[-1]
        self._teller.tell([message for _, message in batch])
        # Unless a fresh receiver has less than was thought.
        if self.outbox.delivered == start:
            self._teller.connect().keep(self.outbox.note(end))
            self.outbox.deliver_up_to(end)
            self._batches += 1

    def _set_aside(self, message: Message, reason: str) -> None:
        if self.outbox.set_aside(message, reason):
            log.warning(
                "MLflow does not take %s (%s): it is set aside in %s, the rest goes on",
                shown(message),
                reason,
                self.outbox.refused,
            )


def open_tracker(
    uri: str | None,
    sweep: str,
    outbox: Path,
    artifacts: Path | None,
    mine: Callable[[], bool] = lambda: True,
    identity: str = "",
    about: About = NOTHING,
    check: Check = nothing,
) -> Tracker:
    """A tracker for MLflow at `uri`; `artifacts` is their folder where `uri` is a database file.

    `identity` tells the sweep's runs from those of an earlier sweep of its name. Without a `uri`
    the outbox is all that hears of the sweep. `check` raises once the sweep has another driver: it
    is called before each write to the outbox and each request to MLflow.
    """

    def connect() -> Receiver:
        if uri is None:
            return Receiver()
        return _open_runs(uri, sweep, artifacts, identity, outbox.parent, check=check)

    return Tracker(Outbox(outbox, check), connect, mine=mine, about=about)


def check_tracking(uri: str | None, sweep: str, artifacts: Path | None) -> None:
    """UserError where MLflow at `uri` cannot take this sweep; to be asked before a sweep starts."""
    if uri is None:
        return
    with answering(f"--tracking-uri: MLflow at {uri}", REMEDY):
        if (file := database_file(uri)) is not None:
            # MLflow itself would try for minutes, and say so line by line.
            _check_database(file)
        elif is_database(uri):
            check_database("--tracking-uri", uri, REMEDY)
        with _let_in(uri):
            _open_runs(uri, sweep, artifacts, quiet=True)


@contextmanager
def _let_in(uri: str) -> Iterator[None]:
    """UserError where the server asks who this is, and does not know it."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.get_http_status_code() not in REFUSED:
            raise
        raise UserError(
            f"--tracking-uri: MLflow at {without_password(uri)} does not let this user in; set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and see that the server knows "
            "the name that it is asked by (MLFLOW_SERVER_ALLOWED_HOSTS)"
        ) from None


def tell_whole(
    messages: Iterable[Message],
    uri: str,
    sweep: str,
    artifacts: Path | None,
    identity: str,
    driven: bool,
    folder: Path | None = None,
) -> list[str]:
    """Tell MLflow at `uri` all `messages` of a sweep; what it refuses for ever, each with why.

    `folder` is the sweep's own, with the files that messages name.
    UserError where it does not answer, or where the sweep is `driven` and told to it by its driver.
    """
    refused: list[str] = []

    def connect() -> Receiver:
        runs = _open_runs(uri, sweep, artifacts, identity, folder)
        if driven and runs.kept:
            raise UserError(
                f"sweep {sweep!r} is running, and MLflow at {uri} is told of it by its driver; "
                "wait until it has ended"
            )
        # Whatever is told here is told from its beginning on.
        runs.kept = ""
        return runs

    teller = Teller(connect, lambda each, why: refused.append(f"{shown(each)} ({why})"))
    rest = iter(messages)
    with answering(f"--tracking-uri: MLflow at {uri}", REMEDY):
        while batch := list(itertools.islice(rest, MESSAGES_AT_ONCE)):
            teller.tell(batch)
    return refused


def _check_database(file: Path) -> None:
    """UserError where no database file can be there."""
    make_folder(file.parent, "--tracking-uri")
    check_output(file, "--tracking-uri")


def _open_runs(
    uri: str,
    sweep: str,
    artifacts: Path | None,
    identity: str = "",
    folder: Path | None = None,
    quiet: bool = False,
    check: Check = nothing,
) -> "MlflowRuns":
    # Importing mlflow takes seconds, and sets the level of its loggers.
    from noisetune.tracking.mlflow_runs import MlflowRuns

    logging.getLogger("mlflow").setLevel(logging.CRITICAL if quiet else logging.WARNING)
    return MlflowRuns(uri, sweep, artifacts, identity, folder, check)

"""The one writer: what the driver says goes to the outbox, a thread brings it to MLflow."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from noisetune.records import MetricPoint, TrialRecord, TrialResult
from noisetune.tracking.outbox import Outbox

FLUSH_SECONDS = 1.0
RETRY_SECONDS = 2.0
MESSAGES_AT_ONCE = 500

log = logging.getLogger(__name__)


class Tracker:
    """Watches a sweep for MLflow. `connect` gives something with `apply(messages)`.

    Telling it never waits for the server: while that is away the outbox grows, and is delivered
    when it answers again. `close` waits for that for `patience` seconds.
    """

    def __init__(self, outbox: Outbox, connect: Callable[[], Any], patience: float = 60.0) -> None:
        self.outbox, self.patience = outbox, patience
        self._connect = connect
        self._new, self._closing = threading.Event(), threading.Event()
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
        message = {"kind": "point", "trial": trial.name, "step": point.step}
        self._say(**message, values=point.values, made=point.made)

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

    def close(self) -> bool:
        """Deliver what is left; says whether all of it was."""
        self._closing.set()
        self._new.set()
        self._thread.join(self.patience)
        return not self.outbox.waiting

    def _say(self, made: float | None = None, **message: Any) -> None:
        self.outbox.append(message | {"made": time.time() if made is None else made})
        self._new.set()

    def _deliver(self) -> None:
        runs = None
        warned = False
        while not (self._closing.is_set() and not self.outbox.waiting):
            try:
                runs = runs or self._connect()
                self._deliver_batch(runs)
                warned = False
            except Exception as error:
                # A half-delivered batch is told again from its start, to a fresh connection.
                runs = None
                if not warned:
                    log.warning("the tracking server does not answer, will try again: %s", error)
                warned = True
                time.sleep(RETRY_SECONDS)
            if not self._closing.is_set():
                self._new.wait()
                self._new.clear()
                self._closing.wait(FLUSH_SECONDS)

    def _deliver_batch(self, runs: Any) -> None:
        batch = list(itertools.islice(self.outbox.unread(), MESSAGES_AT_ONCE))
        if batch:
            runs.apply([message for _, message in batch])
            self.outbox.deliver_up_to(batch[-1][0])
            self._new.set()


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `a.b.c: value`."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def open_tracker(uri: str, sweep: str, outbox: Path, artifacts: Path | None) -> Tracker:
    """A tracker for MLflow at `uri`; `artifacts` is their folder where `uri` is a database file."""

    def connect() -> Any:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from noisetune.tracking.mlflow_runs import MlflowRuns

        return MlflowRuns(uri, sweep, artifacts)

    return Tracker(Outbox(outbox), connect)

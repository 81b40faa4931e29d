"""A stage through the store: taken from it, or computed once and published."""

import time
from collections.abc import Callable, Collection, Generator
from contextlib import closing

from noisetune.leaving import HostLeaves, seconds_left
from noisetune.records import Event, MetricPoint, Waiting
from noisetune.stages.base import Checkpoint, Stage, Start, points_of
from noisetune.store import Artifact, Lease, LeaseLost, StageKey, StoreLike

CHECKPOINT_SECONDS = 30.0
WAIT_SECONDS = 0.5
PUBLISH_SECONDS = 3.0
"""So long before its host is taken away an epoch must end, for its checkpoint to be kept."""
ATTEMPTS = 5
"""To publish a checkpoint under one lease after the other."""


def run_stage(
    stage: Stage, store: StoreLike, milestones: Collection[int] = (), begun: Start = None
) -> Generator[Event, None, Artifact]:
    """The stage's artifact; yields its metric points, replayed ones with their first timestamps.

    Entries are published at `milestones` (steps that other trials are known to want), about twice
    a minute, and at the end. `begun` is an earlier part that the caller holds already. While
    another process computes the same key, Waiting is yielded. Where the host is about to be taken
    away, the entry of the epoch's end is published, if there is time for it, and HostLeaves raised.
    """
    seen = 0 if begun is None else len(points_of(begun[1]))
    while True:
        found = store.load(stage.key, stage.total)
        if found is not None:
            yield from points_of(found)[seen:]
            return found
        lease = store.lease(stage.key)
        if lease is not None:
            with _Claim(store, stage.key, lease) as claim:
                return (yield from _compute(stage, claim, milestones, begun))
        yield Waiting(stage.key.stage)
        time.sleep(WAIT_SECONDS)


def _compute(
    stage: Stage, claim: "_Claim", milestones: Collection[int], begun: Start
) -> Generator[Event, None, Artifact]:
    stored = claim.store.latest(stage.key, stage.total)
    start = max((each for each in (begun, stored) if each), key=lambda each: each[0], default=None)
    if start is not None:
        seen = 0 if begun is None else len(points_of(begun[1]))
        yield from points_of(start[1])[seen:]
        if start[0] == stage.total:
            return start[1]
    last_saved, temporary, made = time.monotonic(), None, None
    pace = _Pace()

    def due(step: int) -> bool:
        asked = step in milestones or seconds_left() is not None
        return asked or time.monotonic() - last_saved > CHECKPOINT_SECONDS

    for event in stage.compute(start, due):
        if not isinstance(event, Checkpoint):
            pace.hear(event)
            yield event
            continue
        claim.publish(event)
        if temporary is not None:
            claim.store.drop(stage.key, temporary)
        temporary = None if event.step in milestones else event.step
        last_saved = time.monotonic()
        if event.step == stage.total:
            made = event.artifact
        elif seconds_left() is not None:
            raise HostLeaves(f"{stage.key.stage} is kept up to epoch {event.step}")
    if made is None:
        raise AssertionError(f"{stage.key.stage} ended without its last checkpoint")
    return made


def unheard(events: Generator[Event, None, Artifact]) -> Generator[Event, None, Artifact]:
    """The same stage without its metric points."""
    return rephrased(events, lambda event: None if isinstance(event, MetricPoint) else event)


def rephrased(
    events: Generator[Event, None, Artifact], change: Callable[[Event], Event | None]
) -> Generator[Event, None, Artifact]:
    """The same stage with each event as `change` has it; None leaves it out."""
    with closing(events):
        while True:
            try:
                event = change(next(events))
            except StopIteration as stop:
                return stop.value
            if event is not None:
                yield event


class _Pace:
    """How long epochs take: whether one ends before a host that leaves is gone."""

    def __init__(self) -> None:
        self.begun, self.epoch = time.monotonic(), 0.0

    def hear(self, event: Event) -> None:
        """Note an epoch's end; HostLeaves where the one that runs would end too late."""
        if isinstance(event, MetricPoint):
            now = time.monotonic()
            self.begun, self.epoch = now, now - self.begun
            return
        left = seconds_left()
        ahead = max(0.0, self.begun + self.epoch - time.monotonic())
        if left is not None and left < ahead + PUBLISH_SECONDS:
            raise HostLeaves(f"the epoch takes {ahead:.0f} s more, and the host stays {left:.0f} s")


class _Claim:
    """The right to publish under a key: a lease, taken anew where it lapsed."""

    def __init__(self, store: StoreLike, key: StageKey, lease: Lease) -> None:
        self.store, self.key, self.lease = store, key, lease

    def publish(self, checkpoint: Checkpoint) -> None:
        """Publish a checkpoint, unless somebody else has taken the key over.

        A lease lapses while a machine sleeps. Where nobody has taken the key, a new one will do;
        where somebody has, or the machine falls asleep again and again, the computation goes on for
        its own trial alone.
        """
        for _ in range(ATTEMPTS):
            try:
                return self.store.publish(
                    self.key, checkpoint.step, checkpoint.artifact, self.lease
                )
            except LeaseLost:
                renewed = self.store.lease(self.key)
                if renewed is None:
                    return
                self.lease = renewed

    def __enter__(self) -> "_Claim":
        return self

    def __exit__(self, *_: object) -> None:
        self.lease.release()

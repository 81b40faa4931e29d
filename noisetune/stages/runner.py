"""A stage through the store: taken from it, or computed once and published."""

import time
from collections.abc import Collection, Generator

from noisetune.records import Event, Tick
from noisetune.stages.base import Checkpoint, Stage, points_of
from noisetune.store import Artifact, Lease, StoreLike

CHECKPOINT_SECONDS = 60.0
WAIT_SECONDS = 0.5


def run_stage(
    stage: Stage, store: StoreLike, milestones: Collection[int] = ()
) -> Generator[Event, None, Artifact]:
    """The stage's artifact; yields its metric points, replayed ones with their first timestamps.

    Entries are published at `milestones` (steps that other trials are known to want), about once
    a minute, and at the end. While another process computes the same key, ticks are yielded.
    """
    while True:
        found = store.load(stage.key, stage.total)
        if found is not None:
            yield from points_of(found)
            return found
        lease = store.lease(stage.key)
        if lease is not None:
            with lease:
                return (yield from _compute(stage, store, lease, milestones))
        yield Tick(stage.key.stage, 0.0)
        time.sleep(WAIT_SECONDS)


def _compute(
    stage: Stage, store: StoreLike, lease: Lease, milestones: Collection[int]
) -> Generator[Event, None, Artifact]:
    start = store.latest(stage.key, stage.total)
    if start is not None:
        yield from points_of(start[1])
        if start[0] == stage.total:
            return start[1]
    last_saved, temporary = time.monotonic(), None

    def due(step: int) -> bool:
        return step in milestones or time.monotonic() - last_saved > CHECKPOINT_SECONDS

    for event in stage.compute(start, due):
        if not isinstance(event, Checkpoint):
            yield event
            continue
        store.publish(stage.key, event.step, event.artifact, lease)
        if temporary is not None:
            store.drop(stage.key, temporary)
        temporary = None if event.step in milestones else event.step
        last_saved = time.monotonic()
        if event.step == stage.total:
            return event.artifact
    raise AssertionError(f"{stage.key.stage} ended without its last checkpoint")

"""Sweeps without Ray whose trials end as a test says, in order or at random."""

import random
from collections.abc import Callable

from made_up import Play
from optuna.storages import BaseStorage, InMemoryStorage

from noisetune.sweep.study.job import Job

End = Callable[[Play, Job, int], None]
"""Ends a trial, as its luck has it."""


def in_order(end: End, play: Play, luck: int = 0) -> Play:
    while (job := play.scheduler.next()) is not None:
        end(play, job, luck)
    return play


def at_random(
    end: End, open_play: Callable[[BaseStorage], Play], chance: random.Random, luck: int = 0
) -> Play:
    """Up to six at once, ending in any order; the driver is killed now and then."""
    storage = InMemoryStorage()
    play, running = open_play(storage), list[Job]()
    while not play.scheduler.finished:
        if chance.random() < 0.05:
            play, running = open_play(storage), []
        job = play.scheduler.next() if len(running) < 6 and chance.random() < 0.7 else None
        if job is not None:
            running.append(job)
        elif running:
            end(play, running.pop(chance.randrange(len(running))), luck)
    return play

"""Two trials at once, each with half of the threads, beside one trial alone."""

import multiprocessing
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from noisetune.bench.train import Setting, one_epoch, stages
from noisetune.records import PRETRAIN


def measure_side_by_side(
    setting: Setting, threads: int, rounds: int, seconds: float
) -> dict[str, Any]:
    """`side_by_side_ratio`: what two trials of half the threads reach together, over the better
    one of a trial with all threads and a trial with half of them; None for a single thread.

    Each of the three runs for `seconds` in every round; rounds are compared one by one.
    """
    if threads < 2:
        return {"side_by_side_ratio": None}
    with ExitStack() as stack:
        whole, left, right = (
            stack.enter_context(_trial(setting, count))
            for count in (threads, threads // 2, threads // 2)
        )
        for trial in (whole, left, right):
            trial.recv()  # it has warmed up
        times = [
            [_rate([whole], seconds), _rate([left], seconds), _rate([left, right], seconds)]
            for _ in range(rounds)
        ]
    all_threads, half, two = map(statistics.median, zip(*times, strict=True))
    return {
        "side_by_side_ratio": statistics.median(each[2] / max(each[:2]) for each in times),
        "side_by_side": {"all threads": all_threads, "half": half, "two halves": two},
    }


def _rate(trials: list[Connection], seconds: float) -> float:
    """Images a second of these trials together."""
    for trial in trials:
        trial.send(seconds)
    return sum(trial.recv() for trial in trials)


@contextmanager
def _trial(setting: Setting, threads: int) -> Iterator[Connection]:
    """A process that pre-trains: sent so many seconds, it answers its images a second."""
    runtime = setting.runtime.model_copy(update={"threads": threads})
    ours, theirs = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    work = (theirs, replace(setting, runtime=runtime))
    process = spawn.Process(target=_serve, args=work, daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join()


def _serve(asked: Connection, setting: Setting) -> None:
    inputs = setting.inputs()
    inputs.config.runtime.apply()
    epoch = one_epoch(stages(inputs)[PRETRAIN])
    epoch()
    asked.send("ready")
    images = setting.batches * setting.batch_size
    while True:
        try:
            seconds = asked.recv()
        except EOFError:
            return
        began, epochs = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            epoch()
            epochs += 1
        asked.send(epochs * images / (time.perf_counter() - began))

"""Two trials at once, each with half of the threads, beside one trial alone."""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from noisetune.bench.other_work import MachineWatch
from noisetune.bench.rounds import Spent, Until, Versus, ratio_figures, take_rounds
from noisetune.bench.train import Setting, one_epoch, stages
from noisetune.records import PRETRAIN

RATIO = "two halves to the better of one"
PART_SECONDS = 2.0  # of a part of a round, and always a whole epoch


def measure_side_by_side(
    setting: Setting, threads: int, until: Until, seconds: float = PART_SECONDS
) -> dict[str, Any]:
    """`side_by_side_ratio`: what two trials of half the threads reach together, over the better
    one of a trial with all threads and a trial with half of them; None for a single thread.

    Each of the three runs for `seconds` in every round.
    """
    if threads < 2:
        return {"side_by_side_ratio": None}
    machine = MachineWatch()
    with ExitStack() as stack:
        whole, left, right = (
            stack.enter_context(_trial(setting, count))
            for count in (threads, threads // 2, threads // 2)
        )
        for trial in (whole, left, right):
            trial.recv()  # it has warmed up
        ways = {"all threads": [whole], "half": [left], "two halves": [left, right]}
        parts = {name: partial(_spent, trials, seconds) for name, trials in ways.items()}
        ratios = {RATIO: Versus(over=("all threads", "half"), under="two halves")}
        rounds = take_rounds(parts, ratios, until)
        other_work = machine.so_far()
    rates = {name: 1 / statistics.median(each[name].wall for each in rounds) for name in parts}
    found = ratio_figures(rounds, ratios, until)
    return {
        "side_by_side_ratio": found["ratios"][RATIO]["wall"]["ratio"],
        "side_by_side": {"images_per_second": rates, **found, **other_work.figures()},
    }


def _spent(trials: list[Connection], seconds: float) -> Spent:
    """What an image takes where these trials run at once."""
    for trial in trials:
        trial.send(seconds)
    done = [trial.recv() for trial in trials]
    images = sum(images for images, _, _ in done)
    rate = sum(images / wall for images, wall, _ in done)
    return Spent(1 / rate, sum(cpu for _, _, cpu in done) / images)


@contextmanager
def _trial(setting: Setting, threads: int) -> Iterator[Connection]:
    """A process that pre-trains: sent so many seconds, it answers how many images it trained, in
    how many seconds by the clock and of processors."""
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
        asked.send(_epochs(epoch, seconds, images))


def _epochs(epoch: Callable[[], None], seconds: float, images: int) -> tuple[int, float, float]:
    began, before, done = time.perf_counter(), time.process_time(), 0
    while not done or time.perf_counter() - began < seconds:
        epoch()
        done += images
    return done, time.perf_counter() - began, time.process_time() - before

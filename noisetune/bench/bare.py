"""What Ray Tune and Optuna keep of a trial by themselves: the driver's memory without noisetune."""

import os
import signal
import statistics
from contextlib import suppress
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
import ray
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import RandomSampler
from ray import tune
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

from noisetune.sweep.execution.launch import ray_session
from noisetune.sweep.spec.resources import Resources

POINTS = 10
"""That an instant trial reports."""
ENOUGH = signal.SIGUSR2
"""Neither Ray nor Tune has a handler of its own for it."""


class Instant(tune.Trainable):
    """Points that cost nothing."""

    def setup(self, config: dict[str, Any]) -> None:
        self.seen = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.seen = 0
        return True

    def step(self) -> dict[str, Any]:
        self.seen += 1
        return {"val/accuracy": self.seen / POINTS, "done": self.seen == POINTS}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """There is nothing to save."""


class Scales(tune.Callback):
    """The driver's memory, in bytes, at the end of each trial."""

    def __init__(self) -> None:
        self.memory: list[int] = []

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.memory.append(psutil.Process().memory_info().rss)


def bare_growth(trials: int, folder: Path) -> float:
    """Bytes that the driver holds more after each trial of a stock sweep of so many: a searcher of
    Optuna's, and no callback but the one that looks. What it writes goes into `folder`.

    In a process and a Ray session of its own: where another sweep was, its memory is used again,
    and nothing seems to grow.
    """
    ours, theirs = Pipe(duplex=False)
    alone = get_context("spawn").Process(target=_answer, args=(theirs, trials, folder))
    alone.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        raise RuntimeError("the stock sweep did not come to its end") from None
    finally:
        if alone.is_alive():
            assert alone.pid is not None
            os.kill(alone.pid, ENOUGH)
        alone.join()


def _answer(asker: Connection, trials: int, folder: Path) -> None:
    """A terminal sends Ctrl-C to every process: only the one that asks takes it, and has this one
    and its Ray end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(ENOUGH, signal.default_int_handler)
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    with suppress(KeyboardInterrupt):
        asker.send(_bare_growth(trials, folder))


def _bare_growth(trials: int, folder: Path) -> float:
    scales = Scales()
    space: dict[str, BaseDistribution] = {"lr": FloatDistribution(1e-4, 1e-2, log=True)}
    search = OptunaSearch(space, sampler=RandomSampler(), metric="val/accuracy", mode="max")
    with ray_session(Resources()):
        slots = int(ray.cluster_resources()["CPU"])
        tuner = tune.Tuner(
            tune.with_resources(Instant, {"cpu": 1}),
            tune_config=tune.TuneConfig(
                search_alg=ConcurrencyLimiter(search, slots), num_samples=trials, reuse_actors=True
            ),
            run_config=tune.RunConfig(storage_path=str(folder), callbacks=[scales], verbose=0),
        )
        tuner.fit()
    return growth(scales.memory)


def growth(memory: list[int]) -> float:
    """Bytes per trial over the second half, by the slope of a line: start-up is no growth."""
    half = memory[len(memory) // 2 :]
    return statistics.linear_regression(range(len(half)), half).slope

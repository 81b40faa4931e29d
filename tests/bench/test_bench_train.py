"""`noisetune bench train` on a few small images; what it says of time is not looked at."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import Pipe, active_children
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from noisetune.bench import public, rounds, side_by_side
from noisetune.bench.public import public_way
from noisetune.bench.rounds import Part, Until
from noisetune.bench.side_by_side import measure_side_by_side
from noisetune.bench.train import Setting, measure_train, model_alone, one_epoch, spent, stages
from noisetune.errors import UserError
from noisetune.training.runtime import Runtime

CPU = Runtime(device="cpu", precision="fp32", channels_last=False, compile=False, threads=1)
SMALL = Setting(CPU, width=4, size=8, batch_size=4)
FEW = replace(SMALL, batches=2)
RATES = {"pretrain", "pretrain_roof", "finetune", "finetune_roof", "public"}


@pytest.fixture
def without_lightly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public, "find_spec", lambda name: None)


def test_the_figures_belong_together() -> None:
    pytest.importorskip("lightly")
    figures = measure_train(SMALL, Until(rounds=2))
    rates = figures["images_per_second"]
    assert rates.keys() == RATES
    assert all(math.isfinite(rate) and rate > 0 for rate in rates.values())
    ratios = figures["ratios"]
    assert ratios.keys() == {"pretrain to public", "pretrain to roof", "finetune to roof"}
    assert all(found["ratio"] > 0 for kinds in ratios.values() for found in kinds.values())
    assert figures["ratio_to_public"] == ratios["pretrain to public"]["wall"]["ratio"]
    roofs = [ratios[f"{stage} to roof"]["wall"]["ratio"] for stage in ("pretrain", "finetune")]
    assert figures["ratio_to_roof"] == min(roofs)
    assert (figures["rounds"], figures["threads"], figures["precision"]) == (2, 1, "fp32")
    assert figures.keys() >= {"other_work", "warning", "wide"}
    assert "matmul_share" not in figures
    json.dumps(figures, allow_nan=False)


def test_a_part_takes_the_time_of_its_workers_too() -> None:
    """Two batches in 3 s of this process and 1 and 2 s of two workers are 3 s for a batch."""
    workers = [SimpleNamespace(cpu_times=lambda taken=taken: next(taken)) for taken in (
        iter([(5.0, 1.0), (6.0, 1.0)]), iter([(0.0, 0.0), (0.5, 1.5)])
    )]  # fmt: skip
    clock = iter([10.0, 13.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds.time, "process_time", lambda: next(clock))
        taken = spent(Part(lambda: None, 2, tuple(workers)), torch.device("cpu"))  # type: ignore[arg-type]
    assert taken.cpu == 3.0


@pytest.mark.usefixtures("without_lightly")
def test_without_lightly_there_is_no_ratio_to_it(noisetune: Callable[..., Any]) -> None:
    words = "--device cpu --threads 1 --width 4 --size 8 --batch-size 4 --seconds 0"
    said = noisetune("bench", "train", *words.split(), "--json")
    figures = json.loads(said.out)
    assert (figures["public"], figures["ratio_to_public"]) == ("not installed", None)
    assert figures["images_per_second"].keys() == RATES - {"public"}
    assert figures["rounds"] == 1  # no round begins once the seconds are over
    said = noisetune("bench", "train", *words.split()).out
    assert "not installed" in said
    assert "an interval takes six rounds" in " ".join(said.split())


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_each_way_takes_as_many_steps_as_the_others(stage: str) -> None:
    inputs = FEW.inputs()
    for part in (one_epoch(stages(inputs)[stage]), model_alone(inputs, stage, FEW)):
        assert steps_of(part) == FEW.batches


def test_the_public_way_takes_its_steps_and_its_workers_rest_between() -> None:
    pytest.importorskip("lightly")
    with public_way(SMALL.inputs(), 3) as part:
        assert part is not None
        assert steps_of(part.run) == part.batches == 3
        assert {each.pid for each in part.workers} <= {each.pid for each in active_children()}
        assert part.workers
        while any(each.status() != "stopped" for each in part.workers):
            time.sleep(0.01)  # the test's timeout bounds it: a busy machine stops them late


def steps_of(part: Callable[[], None]) -> int:
    steps: list[Any] = []
    hook = register_optimizer_step_post_hook(lambda *given: steps.append(given))
    try:
        part()
    finally:
        hook.remove()
    return len(steps)


@contextmanager
def trial_in_a_thread(setting: Setting, threads: int) -> Iterator[Any]:
    ours, theirs = Pipe()
    thread = Thread(target=side_by_side._serve, args=(theirs, setting))
    thread.start()
    yield ours
    ours.close()
    thread.join()


def test_two_trials_are_compared_with_the_better_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "_trial", trial_in_a_thread)
    check_side_by_side()


@pytest.mark.long
def test_two_trials_run_in_processes_of_their_own() -> None:
    check_side_by_side()


def check_side_by_side() -> None:
    figures = measure_side_by_side(SMALL, threads=2, until=Until(rounds=1), seconds=0.1)
    rates = figures["side_by_side"]["images_per_second"]
    ratio = rates["two halves"] / max(rates["all threads"], rates["half"])
    assert figures["side_by_side_ratio"] == pytest.approx(ratio)


def test_a_single_thread_has_no_halves() -> None:
    assert measure_side_by_side(SMALL, 1, Until(rounds=1)) == {"side_by_side_ratio": None}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match=r"runtime\.device: cuda"):
        measure_train(Setting(Runtime(device="cuda")), Until())


@pytest.mark.long
def test_it_loads_neither_ray_nor_optuna_nor_mlflow_nor_cleanlab() -> None:
    program = "import sys, noisetune.bench.train, noisetune.bench.side_by_side; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert {"ray", "optuna", "mlflow", "cleanlab", "lightly"} & set(loaded) == set()

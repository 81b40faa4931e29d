"""What `bench stack` asks of both engines, and how their answers are judged alike."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from noisetune.config import TrialConfig
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.spec.sweep import Sweep

RATE, METHOD, LR = "noise.rate", "pretrain.method", "finetune.lr"
RATES, METHODS = (0.3, 0.6), ("none", "simclr", "barlow_twins")
LOW, HIGH = 1e-4, 1e-2
VAL, TEST = "val/accuracy", "test/accuracy"
Cell = tuple[float, str]


@dataclass(frozen=True)
class Question:
    """Which fine-tuning rate is best for each noise rate and method, and how good is it again?

    So many `trials` search each cell; its winner runs again on `replicates` fresh seeds. Methods
    pre-train for `epochs`, and all fine-tune for half of them.
    """

    trials: int = 4
    epochs: int = 10
    replicates: int = 2
    seed: int = 0

    @property
    def cells(self) -> list[Cell]:
        return list(itertools.product(RATES, METHODS))

    @property
    def tuning(self) -> int:
        """Epochs of fine-tuning."""
        return max(1, self.epochs // 2)

    @property
    def unjudged(self) -> int:
        """Epochs of fine-tuning in which no trial is stopped."""
        return max(1, self.tuning // 2)

    def trial(self, cell: Cell, lr: float, replicate: int) -> TrialConfig:
        """A trial as a user without a sweep engine would write it."""
        rate, method = cell
        raw = self._fixed()
        raw["noise"]["rate"] = rate
        raw["pretrain"] = {"method": method} | (raw["pretrain"] if method != "none" else {})
        raw["finetune"]["lr"] = lr
        return TrialConfig.parse(raw | {"replicate": replicate}, "bench stack")

    def sweep(self) -> Sweep:
        """The question as a sweep of noisetune."""
        space = {
            "conditions": {RATE: RATES, METHOD: METHODS},
            "parameters": {LR: {"low": LOW, "high": HIGH, "log": True}},
        }
        raw = {
            "name": "stack",
            "search_space": "stack",
            "trial": self._fixed(),
            "objective": {"metric": VAL, "direction": "maximize"},
            "sampler": {"name": "tpe", "seed": self.seed},
            "pruner": {"name": "median", "n_startup_trials": 2, "n_warmup_steps": self.unjudged},
            "trials_per_condition": self.trials,
            "replicates": self.replicates,
        }
        return Sweep.prepare(parse_sweep(raw, "bench stack"), SearchSpace.model_validate(space))

    def _fixed(self) -> dict[str, Any]:
        # One thread to a trial, of which as many run as there are processors: nothing is measured.
        runtime = {"device": "cpu", "precision": "fp32", "channels_last": False, "threads": 1}
        return {
            "data": {"name": "digits"},
            "noise": {"model": "symmetric"},
            "model": {"name": "resnet18", "width": 16},
            "pretrain": {"epochs": self.epochs, "batch_size": 128, "lr": 3e-3, "hidden": 256},
            "finetune": {"epochs": self.tuning, "batch_size": 128},
            "runtime": runtime | {"compile": False},
        }


@dataclass(frozen=True)
class Trained:
    """A trial of either engine: accuracy on noisy validation and on clean test images after each
    epoch of fine-tuning; `chosen` says that it won the search of its cell."""

    cell: Cell
    kind: Literal["search", "replicate"]
    lr: float
    val: Sequence[float]
    test: Sequence[float]
    chosen: bool = False

    @property
    def clean(self) -> float:
        """Clean accuracy at the epoch that noisy validation chooses."""
        return self.test[self.val.index(max(self.val))]


@dataclass(frozen=True)
class Answer:
    """What an engine did, and what it left in MLflow: rows by table."""

    trials: Sequence[Trained]
    pretraining: int
    rows: Mapping[str, int]

    def chosen(self) -> dict[Cell, Trained]:
        return {each.cell: each for each in self.trials if each.chosen}

    def again(self) -> float | None:
        """Clean accuracy of the replicates, in %; None without any."""
        clean = [each.clean for each in self.trials if each.kind == "replicate"]
        return 100 * statistics.fmean(clean) if clean else None


def regret(answer: Answer, answers: Sequence[Answer]) -> float:
    """Points of clean accuracy that the chosen settings lose against the best of each cell that
    any of the answers searched, on average: all of them on the same images and wrong labels."""
    best: dict[Cell, float] = {}
    for trial in (trial for each in answers for trial in each.trials if trial.kind == "search"):
        best[trial.cell] = max(best.get(trial.cell, 0.0), trial.clean)
    lost = [best[cell] - trial.clean for cell, trial in answer.chosen().items()]
    return 100 * statistics.fmean(lost)


def figures_of(answer: Answer, answers: Sequence[Answer]) -> dict[str, float | None]:
    """What is compared of an answer, by name."""
    tuning = sum(len(each.val) for each in answer.trials)
    return {
        "trials": len(answer.trials),
        "pre-training epochs": answer.pretraining,
        "fine-tuning epochs": tuning,
        "regret of the chosen (points)": regret(answer, answers),
        "clean accuracy of replicates (%)": answer.again(),
        **{f"MLflow rows: {table}": count for table, count in answer.rows.items()},
    }

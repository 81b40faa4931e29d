"""A finished sweep of 99 trials that nobody ran: what reports are drawn from."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from noisetune.analysis.families import asked_pairs, with_new
from noisetune.analysis.question import Question
from noisetune.analysis.summaries import summarise
from noisetune.predictions import Predictions
from noisetune.records import TrialRecord
from noisetune.report.view import SweepView
from noisetune.selection import CHOICES
from noisetune.texts import factors_text

RATES, METHODS = (0.2, 0.4, 0.6), ("none", "simclr", "barlow_twins")
SEARCHED, REPLICATES, EPOCHS, IMAGES = 3, 8, 12, 240
LR = FloatDistribution(1e-4, 1e-2, log=True)
SCHEDULE = CategoricalDistribution(("constant", "cosine"))
DRIVE = {
    "command": "noisetune sweep sweeps/made_up.yaml",
    "noisetune": "0.1.0",
    "commit": "0123abcd",
    "python": "3.11.2",
    "versions": {"torch": "2.14", "optuna": "5.0"},
    "processor": "A processor",
    "cpus": 4,
    "memory": "16 GiB",
    "gpus": ["A GPU"],
}
METRICS = {
    "detect/f1": 0.9, "detect/auroc": 0.97, "detect/rate_estimate": 0.31,
    "pretrain/rankme_at_pretrained": 20.0, "test/knn_at_pretrained": 0.8,
}  # fmt: skip


def made_up_view(searched: int = SEARCHED, replicates: int = REPLICATES) -> SweepView:
    """Three rates by three methods, each with so many search trials and replicates."""
    made = [
        (factors, trial) for factors in cells() for trial in _trials(factors, searched, replicates)
    ]
    records = tuple(record for _, (record, _) in made)
    found: dict[str, tuple[FrozenTrial, ...]] = {}
    for _, (record, frozen) in made:
        if frozen is not None:
            found[record.condition] = (*found.get(record.condition, ()), frozen)
    names = [(factors_text(factors), factors) for factors in cells()]
    question = Question(tuple(with_new([], asked_pairs(names), {})))
    view = SweepView(
        name="made-up",
        state="finished",
        records=records,
        question=question,
        size=len(records),
        definition={"sweep": {"name": "made-up", "sampler": {"name": "tpe", "seed": 3}}},
        curves={record.name: dict(_curves(record)) for record in records},
        searched=found,
        seconds={r.name: _seconds(r) for r in records if r.state == "complete"},
        spent={"hours": 1.5, "trial_hours": 2.5, "gpu_hours": 0.75},
        drives=(DRIVE, DRIVE),
        resolutions={name: 0.01 + factors["noise.rate"] / 20 for name, factors in names},
        commands=("noisetune report made-up",),
    )
    runs = [run for summary in view.summaries for run in view.again(summary)]
    return replace(view, predictions={run.name: _predictions(run) for run in runs})


def cells() -> list[dict[str, Any]]:
    return [{"noise.rate": rate, "pretrain.method": method} for rate in RATES for method in METHODS]


def of_one_method(view: SweepView) -> SweepView:
    """The same sweep with nothing to compare."""
    kept = tuple(each for each in view.records if each.factors["pretrain.method"] == "simclr")
    searched = {name: view.searched[name] for name in {each.condition for each in kept}}
    return replace(view, records=kept, searched=searched, question=Question(()))


def _trials(
    factors: Mapping[str, Any], searched: int, replicates: int
) -> Iterator[tuple[TrialRecord, FrozenTrial | None]]:
    rng = np.random.default_rng(len(factors_text(factors)) + int(100 * factors["noise.rate"]))
    best: dict[str, Any] = {}
    for number in range(searched):
        frozen = _searched(factors, number, rng)
        record = _record(factors, "search", number, 0, frozen, rng)
        best = record.parameters if number == 0 else best
        yield record, frozen
    for seed in range(1, replicates + 1):
        record = _record(factors, "replicate", seed - 1, seed, None, rng)
        yield replace(record, parameters=best), None


def _searched(factors: Mapping[str, Any], number: int, rng: np.random.Generator) -> FrozenTrial:
    """The first is the best; one in six is stopped after three epochs."""
    lr = float(10 ** rng.uniform(-4, -2))
    params = {"finetune.lr": lr, "finetune.schedule": ("constant", "cosine")[number % 2]}
    distributions: dict[str, Any] = {"finetune.lr": LR, "finetune.schedule": SCHEDULE}
    if factors["pretrain.method"] == "simclr" and number % 3 != 2:
        params["pretrain.temperature"] = float(rng.uniform(0.1, 0.5))
        distributions["pretrain.temperature"] = FloatDistribution(0.1, 0.5)
    stopped = number % 6 == 2
    value = (
        _level(factors) * (1 - factors["noise.rate"]) - 0.01 * number - abs(math.log10(lr) + 3) / 50
    )
    steps = 3 if stopped else EPOCHS
    made = optuna.trial.create_trial(
        state=TrialState.PRUNED if stopped else TrialState.COMPLETE,
        value=value,
        params=params,
        distributions=distributions,
        intermediate_values={step: value * (1 - 0.6**step) for step in range(1, steps + 1)},
    )
    made.number = number
    return made


def _level(factors: Mapping[str, Any]) -> float:
    gain = {"none": 0.0, "simclr": 0.2, "barlow_twins": 0.15}[factors["pretrain.method"]]
    return 0.95 - (0.5 - gain) * factors["noise.rate"]


def _record(
    factors: Mapping[str, Any],
    kind: Any,
    number: int,
    seed: int,
    frozen: FrozenTrial | None,
    rng: np.random.Generator,
) -> TrialRecord:
    condition = factors_text(factors)
    stopped = frozen is not None and frozen.state == TrialState.PRUNED
    clean = float(_level(factors) - 0.01 * number * (seed == 0) + rng.normal(0, 0.008))
    objective = frozen.value if frozen else clean * (1 - factors["noise.rate"])
    metrics = METRICS | {f"test/accuracy_at_{choice}": clean for choice in CHOICES}
    return TrialRecord(
        name=f"{condition} {'replicate' if seed else 'trial'} {number}",
        condition=condition,
        factors=dict(factors),
        kind=kind,
        number=number,
        state="pruned" if stopped else "complete",
        parameters=dict(frozen.params) if frozen else {},
        config={"replicate": seed, "pretrain": {"method": factors["pretrain.method"], "epochs": 4}},
        objective=None if stopped else objective,
        objectives=() if stopped or objective is None else (objective,),
        metrics={} if stopped else metrics,
    )


def _curves(record: TrialRecord) -> Iterator[tuple[str, tuple[tuple[int, float], ...]]]:
    level = _level(record.factors) + 0.002 * record.seed
    steps = range(1, (3 if record.state == "pruned" else EPOCHS) + 1)
    rising = {"test/accuracy": level, "val/accuracy": 0.7 * level, "detect/memorisation": 0.2}
    for metric, top in rising.items():
        yield metric, tuple((step, top * (1 - 0.7**step)) for step in steps)
    for metric in ("train/loss", "test/loss"):
        yield metric, tuple((step, 2.3 * 0.8**step + 0.1) for step in steps)
    if record.factors["pretrain.method"] != "none":
        yield "pretrain/loss", tuple((step, 5.0 / step) for step in range(1, 5))


def _seconds(record: TrialRecord) -> dict[str, float]:
    """Encoders are shared over the rates: equal seconds are of one computation."""
    own = {"finetune": 8.0 + len(record.name) / 100 + record.number / 1000}
    if record.factors["pretrain.method"] == "none":
        return own
    return own | {"pretrain": 30.0 + record.seed / 10}


def _predictions(run: TrialRecord) -> Predictions:
    rng = np.random.default_rng(run.seed)
    true = np.arange(IMAGES) % 10
    clean = run.metrics["test/accuracy_at_noisy_best"]
    right = rng.random(IMAGES) < (clean or 0.0)
    predicted = np.where(right, true, (true + 1) % 10)
    wrong = rng.random(IMAGES) < run.factors["noise.rate"]
    scores = (wrong + rng.normal(0, 0.4, IMAGES)).astype(np.float32)
    probability = np.clip(0.5 + 0.4 * right + rng.normal(0, 0.1, IMAGES), 0.1, 1.0)
    return Predictions(
        predicted=dict.fromkeys(CHOICES, predicted),
        probability=dict.fromkeys(CHOICES, probability.astype(np.float16)),
        true=true,
        given=np.where(wrong, (true + 3) % 10, true),
        scores={"confident_learning": scores},
    )


def condition_names(view: SweepView) -> list[str]:
    return [each.name for each in summarise(view.records, True)]

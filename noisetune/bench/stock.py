"""The question of `bench stack` by stock Ray Tune, as a user who knows it well would ask it.

A search for each cell, since one over all of them would choose the easiest noise rate: OptunaSearch
and ASHA, actors that are used again, MLflow by Ray's own callback. Then the winners of all cells on
fresh seeds, as one grid. Each trial trains all of its stages, since Ray Tune shares none.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ray
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from noisetune.bench.question import HIGH, LOW, LR, METHOD, RATE, TEST, VAL, Cell, Question, Trained
from noisetune.pipeline import run_trial
from noisetune.records import FINETUNE, PRETRAIN, MetricPoint
from noisetune.store import NullStore

PRETRAINED = "pretrain/epochs"


class StockTrial(tune.Trainable):
    """A step is an epoch of fine-tuning: pre-training is in the first, detection in the last."""

    def setup(self, config: dict[str, Any]) -> None:
        setting = config.get("again") or config
        question = Question(epochs=setting["epochs"])
        cell = setting[RATE], setting[METHOD]
        self._tuning, self._values = question.tuning, dict[str, Any]({PRETRAINED: 0})
        trial = question.trial(cell, setting[LR], setting["replicate"])
        self._events = run_trial(trial, NullStore())

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._events.close()
        self.setup(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        # Tune asks for one at the end; noisetune's trials leave none either.
        return {}

    def step(self) -> dict[str, Any]:
        while True:
            try:
                event = next(self._events)
            except StopIteration as end:
                return self._values | _known(end.value.metrics()) | {"done": True}
            if isinstance(event, MetricPoint) and event.stage == PRETRAIN:
                self._values[PRETRAINED] = event.step
            if isinstance(event, MetricPoint) and event.stage == FINETUNE:
                self._values |= _known(event.values)
                if event.step < self._tuning:
                    return dict(self._values)


def _known(metrics: dict[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if value is not None}


def ask_stock(question: Question, folder: Path) -> tuple[list[Trained], int]:
    """All trials, and the epochs of pre-training that they took; MLflow's database is left in the
    folder, whose Ray session is open."""
    folder.mkdir()
    with _as_ray_has_it():
        searches = [_search(question, cell, folder) for cell in question.cells]
        winners = [grid.get_best_result(scope="all") for grid in searches]
        again = [_again(question, winners, folder)] if question.replicates else []
    chosen = {each.path for each in winners}
    results = [grid[place] for grid in [*searches, *again] for place in range(len(grid))]
    trials = [_trained(result, result.path in chosen) for result in results]
    return trials, sum((result.metrics or {})[PRETRAINED] for result in results)


def _search(question: Question, cell: Cell, folder: Path) -> tune.ResultGrid:
    rate, method = cell
    setting = {RATE: rate, METHOD: method, "epochs": question.epochs, "replicate": 0}
    config = tune.TuneConfig(
        metric=VAL,
        mode="max",
        num_samples=question.trials,
        search_alg=OptunaSearch(seed=question.seed),
        scheduler=ASHAScheduler(max_t=question.tuning, grace_period=question.unjudged),
        # Else one trial at a time is prepared.
        max_concurrent_trials=int(ray.cluster_resources()["CPU"]),
        reuse_actors=True,
    )
    return _fit(f"rate-{rate}-{method}", setting | {LR: tune.loguniform(LOW, HIGH)}, config, folder)


def _again(question: Question, winners: list[tune.Result], folder: Path) -> tune.ResultGrid:
    settings = [
        (winner.config or {}) | {"replicate": seed}
        for winner in winners
        for seed in range(1, question.replicates + 1)
    ]
    config = tune.TuneConfig(metric=VAL, mode="max", reuse_actors=True)
    return _fit("replicates", {"again": tune.grid_search(settings)}, config, folder)


def _fit(
    name: str, space: dict[str, Any], config: tune.TuneConfig, folder: Path
) -> tune.ResultGrid:
    mlflow = MLflowLoggerCallback(f"sqlite:///{folder / 'mlflow.db'}", experiment_name=name)
    grid = tune.Tuner(
        tune.with_resources(StockTrial, {"cpu": 1}),
        param_space=space,
        tune_config=config,
        run_config=tune.RunConfig(
            name=name, storage_path=str(folder / "ray"), callbacks=[mlflow], verbose=0
        ),
    ).fit()
    if grid.errors:
        raise RuntimeError(f"stock Ray Tune, {name}: a trial failed: {grid.errors[0]}")
    return grid


def _trained(result: tune.Result, chosen: bool) -> Trained:
    config, curves = result.config or {}, result.metrics_dataframe
    assert curves is not None
    setting = config.get("again") or config
    return Trained(
        cell=(setting[RATE], setting[METHOD]),
        kind="replicate" if "again" in config else "search",
        lr=setting[LR],
        val=curves[VAL].tolist(),
        test=curves[TEST].tolist(),
        chosen=chosen,
    )


@contextmanager
def _as_ray_has_it() -> Iterator[None]:
    """Tune by its own defaults: noisetune changes some, and they are read when a search begins."""
    with patch.dict(os.environ):
        for name in [name for name in os.environ if name.startswith("TUNE_")]:
            del os.environ[name]
        # Ctrl-C ends all of it, not the search that runs alone.
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
        yield

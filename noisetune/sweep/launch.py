"""A sweep from its file to its end: preflight, Ray, the board, and what stays afterwards."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Ray reads these when it is imported or started: everything local listens on 127.0.0.1 alone,
# and a trial keeps the working folder that relative paths in a configuration speak of.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "1000000000")
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")

import ray
import torch
from ray import tune

from noisetune.analysis.statistics import diagonally_dominant
from noisetune.data.base import DataConfig, ImageData
from noisetune.errors import UserError
from noisetune.pipeline import run_trial
from noisetune.records import TrialRecord
from noisetune.store import Store
from noisetune.sweep.board import Board, Watcher
from noisetune.sweep.bridge import BoardScheduler, BoardSearcher
from noisetune.sweep.conditions import Condition, cross, validate, with_designs
from noisetune.sweep.config import Resources, SweepConfig, parse_sweep
from noisetune.sweep.ledger import Ledger, journal, name_taken
from noisetune.sweep.order import Order
from noisetune.sweep.space import SearchSpace
from noisetune.sweep.trainable import Pipeline, make_trainable
from noisetune.training.runtime import available_cpus

TRIALS_WITHOUT_END = 10**9


@dataclass(frozen=True)
class Home:
    """The folder that holds all that sweeps leave behind: `mlruns/`."""

    root: Path

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def stages(self) -> Path:
        return self.root / "stages"

    def sweep(self, name: str) -> Path:
        return self.root / "sweeps" / name

    def ledger_file(self, name: str) -> Path:
        return self.sweep(name) / "ledger.journal"

    def names(self) -> list[str]:
        return sorted(path.parent.name for path in (self.root / "sweeps").glob("*/ledger.journal"))


@dataclass(frozen=True)
class Sweep:
    """A validated sweep with its conditions."""

    config: SweepConfig
    space: SearchSpace
    conditions: list[Condition]

    @classmethod
    def prepare(cls, config: SweepConfig, space: SearchSpace) -> "Sweep":
        """Cross the conditions and build a trial at every corner; UserError for what is wrong."""
        conditions = cross(space, config.trial)
        if config.pretraining_designs is not None:
            conditions = with_designs(conditions, config.pretraining_designs, config.seed)
        validate(conditions)
        _check_grid(config, conditions)
        return cls(config, space, conditions)

    def definition(self) -> dict[str, Any]:
        return {
            "sweep": self.config.model_dump(mode="json"),
            "space": self.space.model_dump(mode="json"),
        }

    @classmethod
    def from_definition(cls, definition: dict[str, Any]) -> "Sweep":
        config = parse_sweep(definition["sweep"], "ledger")
        return cls.prepare(config, SearchSpace.model_validate(definition["space"]))

    def records(self, ledger: Ledger) -> list[TrialRecord]:
        return ledger.records([(each.name, each.factors) for each in self.conditions])


def open_sweep(home: Home, name: str) -> tuple[Sweep, Ledger]:
    """A sweep that was started before; UserError, with those there are, where it was not."""
    if not home.ledger_file(name).is_file():
        there = ", ".join(home.names()) or "none yet"
        raise UserError(f"no sweep {name!r} in {home.root / 'sweeps'}; there are: {there}")
    ledger = Ledger.open(journal(home.ledger_file(name)), name)
    return Sweep.from_definition(ledger.definition), ledger


def create_ledger(home: Home, sweep: Sweep) -> Ledger:
    """The ledger of a new sweep; UserError where its name is taken."""
    file = home.ledger_file(sweep.config.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    return Ledger.create(journal(file), sweep.config.name, sweep.definition())


def refuse_taken_name(home: Home, name: str) -> None:
    """UserError where there is a sweep of this name."""
    if home.ledger_file(name).is_file():
        raise name_taken(name)


def preflight(sweep: Sweep) -> None:
    """Refuse, before anything starts, data that cannot be read, a device that a trial does not
    have, and labels that tell nothing."""
    objective, resources = sweep.config.objective, sweep.config.resources
    loaded: dict[DataConfig, ImageData] = {}
    for condition in sweep.conditions:
        trial = condition.trial(next(iter(condition.corners())))
        trial.resolve(resources.cpu, resources.gpu)
        if trial.data not in loaded:
            loaded[trial.data] = trial.data.load()
        matrix = trial.noise.transition_matrix(loaded[trial.data].classes)
        noisy = not objective.oracle and not objective.allow_uninformative
        if noisy and not diagonally_dominant(matrix):
            raise UserError(
                f"objective.metric: {objective.metric} in condition {condition.name}: with this "
                "noise a wrong label is as frequent as the right one, so noisy labels choose "
                "nothing; lower the rate, or set objective.allow_uninformative: true"
            )


@contextmanager
def ray_session(resources: Resources, address: str | None = None) -> Iterator[None]:
    """A local Ray with this machine's CPUs and GPUs, the cluster at `address`, or the session
    that is open already. UserError where the cluster does not answer or trials do not fit."""
    if ray.is_initialized():
        check_fits(resources, ray.cluster_resources(), "the cluster")
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is not None:
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(
                f"--address {address}: no Ray cluster answers there ({error}); start one with "
                "`ray start --head`, or leave --address out to run on this machine"
            ) from None
    else:
        cpus, gpus = available_cpus(), torch.cuda.device_count()
        check_fits(resources, {"CPU": cpus, "GPU": gpus}, "this machine")
        ray.init(num_cpus=cpus, num_gpus=gpus, include_dashboard=False, **quiet)
    try:
        check_fits(resources, ray.cluster_resources(), "the cluster")
        yield
    finally:
        ray.shutdown()


def check_fits(resources: Resources, there: dict[str, float], where: str) -> None:
    """UserError where a trial asks for more than `there` is: it would wait for ever."""
    for field, kind in (("cpu", "CPU"), ("gpu", "GPU")):
        wanted, has = getattr(resources, field), there.get(kind, 0)
        if wanted > has:
            raise UserError(
                f"resources.{field}: {wanted:g} is more than {where} has ({has:g}); "
                f"a trial takes at most that, lower it"
            )


def slots_of(resources: Resources, limit: int | None) -> int:
    """How many trials can run at once."""
    there = ray.cluster_resources()
    check_fits(resources, there, "the cluster")
    fits = int(there.get("CPU", 0) / resources.cpu + 1e-9)
    if resources.gpu:
        fits = min(fits, _gpu_slots(resources.gpu, there["GPU"]))
    return max(1, min(fits, limit or fits))


def run_board(
    sweep: Sweep,
    ledger: Ledger,
    home: Home,
    watchers: Sequence[Watcher] = (),
    pipeline: Pipeline = run_trial,
    share: bool = True,
) -> Board:
    """Run what is left of a sweep in the Ray session at hand; returns when it ends or is stopped.

    Ctrl-C stops it: trials that ran stay `running` in the ledger, for a resume. Without `share`
    every trial computes every stage itself.
    """
    store = str(home.stages.resolve()) if share else None
    order = Order(Store.open(store) if store else None)
    board = Board(sweep.config, sweep.conditions, ledger, watchers, order)
    if board.finished:
        return board
    slots = slots_of(sweep.config.resources, sweep.config.max_concurrent)
    searcher = BoardSearcher(board, store, slots, lookahead=sweep.config.max_concurrent is None)
    # With one pending trial, short trials never fill the slots: each hands its actor to the
    # pending one, whose own, still starting, is thrown away.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots)
    _tuner(sweep, home, searcher, pipeline).fit()
    return board


def _tuner(sweep: Sweep, home: Home, searcher: BoardSearcher, pipeline: Pipeline) -> tune.Tuner:
    resources = sweep.config.resources
    trainable = tune.with_resources(
        make_trainable(pipeline), {"cpu": resources.cpu, "gpu": resources.gpu}
    )
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=BoardScheduler(searcher),
            num_samples=TRIALS_WITHOUT_END,
            reuse_actors=True,
            trial_name_creator=lambda trial: f"trial-{trial.trial_id}",
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="ray", storage_path=str(home.sweep(sweep.config.name).resolve()), verbose=0
        ),
    )


def _check_grid(config: SweepConfig, conditions: Sequence[Condition]) -> None:
    if config.sampler.get("name") != "grid":
        return
    for condition in conditions:
        for field, parameter in condition.parameters.items():
            try:
                parameter.grid_values()
            except ValueError as error:
                raise UserError(f"parameters: {field}: {error}") from None


def _gpu_slots(share: float, gpus: float) -> int:
    # A fraction lies on one GPU: three trials of .4 need two GPUs, not 1.2.
    if share >= 1:
        return int(gpus / share + 1e-9)
    return int(1 / share + 1e-9) * int(gpus)

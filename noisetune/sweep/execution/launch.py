"""A sweep in Ray: the session, the tuner, and the scheduler that both serve."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import ray
from ray import tune

from noisetune.datasets import Datasets
from noisetune.errors import fault_of_machine
from noisetune.pipeline import run_trial
from noisetune.store import Store, parse_size
from noisetune.sweep.execution.adapters import EndedTrials, TuneScheduler, TuneSearcher
from noisetune.sweep.execution.cluster import check_shared, hosts, joined
from noisetune.sweep.execution.local import local_ray
from noisetune.sweep.execution.ray_health import dead_process, watched
from noisetune.sweep.execution.runner import Runner
from noisetune.sweep.execution.slots import ACCELERATOR, Host, Slots
from noisetune.sweep.execution.store_limit import StoreLimit
from noisetune.sweep.execution.trainable import Pipeline, make_trainable
from noisetune.sweep.home import Home
from noisetune.sweep.resources.auto_runtime import settle_runtime
from noisetune.sweep.resources.capacity import check_fits, local_resources
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.spec.resources import Resources
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.order import Order
from noisetune.sweep.study.scheduler import Scheduler
from noisetune.sweep.study.watcher import Watcher

TRIALS_WITHOUT_END = 10**9
LABEL = 0.001


@contextmanager
def ray_session(
    resources: Resources, address: str | None = None, store: str | None = None
) -> Iterator[None]:
    """A local Ray with this machine's CPUs and GPUs, the cluster at `address`, or the session
    that is open already. UserError where the cluster does not answer, a host of it does not see
    the `store`, or trials do not fit."""
    if ray.is_initialized():
        check_fits(resources, ray.cluster_resources(), "the cluster")
        yield
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is not None:
        session = joined(address, **quiet)
    else:
        here = local_resources()
        check_fits(resources, here, "this machine")
        session = local_ray(here["CPU"], here["GPU"], **quiet)
    with session:
        check_fits(resources, ray.cluster_resources(), "the cluster")
        if address is not None and store is not None:
            check_shared(store)
        yield


def slots_of(config: SweepConfig) -> int:
    """How many trials of a sweep run at once in the Ray session at hand; UserError for none."""
    return Slots(config, ON_RAY.hosts).now()


class OnRay(Runner):
    """Trials in actors of Ray Tune's, in the session at hand."""

    def session(
        self, resources: Resources, address: str | None, store: str | None
    ) -> AbstractContextManager[None]:
        return ray_session(resources, address, store)

    def hosts(self) -> Sequence[Host]:
        return [node["Resources"] for node in hosts()]

    def run(self, sweep: Sweep, home: Home, searcher: TuneSearcher, pipeline: Pipeline) -> None:
        # With one pending trial, short trials never fill the slots: each hands its actor to the
        # pending one, whose own, still starting, is thrown away.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(searcher.slots.now())
        with watched(searcher.scheduler.pause, f"noisetune resume {sweep.config.name}"):
            _tuner(sweep, home, searcher, pipeline).fit()


ON_RAY = OnRay()


def run_trials(
    sweep: Sweep,
    ledger: Ledger,
    home: Home,
    watchers: Sequence[Watcher] = (),
    pipeline: Pipeline = run_trial,
    store: str | None = None,
    datasets: Datasets | None = None,
    runner: Runner | None = None,
) -> Scheduler:
    """Run what is left of a sweep in the session at hand; returns when it ends or is stopped.

    Ctrl-C stops it: trials that ran stay `running` in the ledger, for a resume. `store` is the
    folder or URL of the stages; without it every trial computes every stage itself. Ray runs them,
    unless another `runner` is given.
    """
    datasets, runner = datasets or Datasets(), runner or ON_RAY
    sweep = settle_runtime(sweep, ledger.records(sweep.cells), datasets)
    shared = None if store is None else Store.open(store)
    if shared is not None and sweep.config.store_limit is not None:
        watchers = [*watchers, StoreLimit(shared, parse_size(sweep.config.store_limit))]
    config = sweep.config
    capacity = Slots(config, runner.hosts)
    order = Order(shared, datasets)
    scheduler = Scheduler(config, sweep.conditions, ledger, watchers, order, capacity.now())
    if scheduler.finished:
        return scheduler
    lookahead = config.max_concurrent is None
    searcher = TuneSearcher(scheduler, store, capacity, lookahead, home.predictions(config.name))
    try:
        runner.run(sweep, home, searcher, pipeline)
    except Exception as error:
        # Tune keeps files of its own beside the ledger.
        fault = scheduler.fault or dead_process() or fault_of_machine(error)
        if fault is None:
            raise
        scheduler.pause(fault)
    scheduler.close()
    return scheduler


def _tuner(sweep: Sweep, home: Home, searcher: TuneSearcher, pipeline: Pipeline) -> tune.Tuner:
    cpu = sweep.config.resources.cpu
    trainable = tune.with_resources(
        make_trainable(pipeline),
        lambda job: tune.PlacementGroupFactory(
            [{"CPU": cpu, "GPU": job["gpu"]} | _on(job["host"])]
        ),
    )
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=TuneScheduler(searcher),
            num_samples=TRIALS_WITHOUT_END,
            reuse_actors=True,
            trial_name_creator=lambda trial: f"trial-{trial.trial_id}",
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="ray",
            storage_path=str(home.sweep(sweep.config.name).resolve()),
            verbose=0,
            callbacks=[EndedTrials()],
            # The scheduler says what becomes of a trial whose process or node died: Ray would not
            # begin again one that died while its process was starting.
            failure_config=tune.FailureConfig(max_failures=0),
        ),
    )


def _on(host: str | None) -> dict[str, float]:
    """What a trial asks for beside, to come to a host of this kind: as Ray's own label for it."""
    return {} if host is None else {f"{ACCELERATOR}{host}": LABEL}

"""What one driver can serve: a cluster of many slots, simulated, and trials that do nothing."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from noisetune.bench.bare import POINTS
from noisetune.bench.cluster import Cluster
from noisetune.bench.engine import Setting, engine_sweep, instant_pipeline
from noisetune.bench.sweep_watch import SweepWatch
from noisetune.bench.whole import check_whole
from noisetune.sweep.home import Home, Site
from noisetune.sweep.run import drive
from noisetune.sweep.spec.resources import Resources

SHARE = 0.25
"""Of a GPU, that a trial has."""


def measure_slots(slots: int, trials: int, seconds: float, setting: Setting) -> dict[str, Any]:
    """A sweep of so many trials on `slots` quarters of GPUs, twice: of trials that take no time,
    and of trials that take `seconds` on average where they are not pruned, in eleven steps.

    The searcher, the pruner, the ledger and MLflow are real, and so is the time that the driver
    takes; the slots are not, and Ray's own time is not in it. `trials_per_second` is what the
    driver does at most. `idle_share` is the part of the slots' time that they wait for the driver
    from when all are full until the last trial begins (None where they never are), `driver_share`
    the part of the time in which it is busy, `fill_seconds` what it takes to fill all slots.
    """
    instant, _ = _run(slots, trials, 0.0, setting)
    timed, pruned = _run(slots, trials, seconds, setting)
    return {
        "slots": slots,
        "trials": timed.begun,
        "conditions": setting.conditions,
        "driver_seconds_per_trial": [each.driver / each.begun for each in (instant, timed)],
        "trials_per_second": instant.begun / instant.driver,
        "point_p99_seconds": float(np.percentile(timed.handled, 99)),
        "pruned": pruned,
        "trial_seconds": seconds,
        "fill_seconds": timed.full,
        "driver_share": timed.driver / timed.now,
        "idle_share": timed.idle_share,
    }


def _run(slots: int, trials: int, seconds: float, setting: Setting) -> tuple[Cluster, int]:
    """The cluster on which a sweep ran, and how many of its trials were pruned."""
    sweep = engine_sweep(trials, setting)
    resources = Resources(cpu=1, gpu=SHARE)
    sweep = replace(sweep, config=sweep.config.model_copy(update={"resources": resources}))
    cluster = Cluster(slots, SHARE, seconds / (POINTS + 1))
    with tempfile.TemporaryDirectory(prefix="noisetune-bench-") as folder:
        home = Home(Path(folder), setting.ledger)
        tracking = setting.tracking_uri or home.tracking_uri
        # The address of no cluster: that this machine could not run them is no matter.
        site = Site(home, address="simulated", tracking_uri=tracking)
        outcome = drive(sweep, site, SweepWatch(), pipeline=instant_pipeline, runner=cluster)
    check_whole(outcome)
    records = outcome.ledger.records(outcome.sweep.cells)
    return cluster, sum(record.state == "pruned" for record in records)

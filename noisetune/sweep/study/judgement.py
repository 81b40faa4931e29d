"""What a trial's epochs are worth, as Optuna is told, and whether its pruner ends it."""

import math
from collections.abc import Sequence

from noisetune.records import FINETUNE, MetricPoint, Metrics, TrialResult
from noisetune.selection import CHOICES, CLEAN, choose_epochs
from noisetune.sweep.spec.objective import COSTS, Objective
from noisetune.sweep.study.job import Job


def report_epoch(job: Job, objective: Objective, point: MetricPoint) -> str | None:
    """Tell Optuna an epoch of fine-tuning; the objection to one that has no finite value."""
    for goal in objective.goals:
        value = point.values.get(goal.metric)
        if goal.metric not in COSTS and (value is None or not math.isfinite(value)):
            return f"{goal.metric} is {value} in epoch {point.step}"
    # Optuna takes no intermediate values of several goals.
    if not objective.several and point.step not in job.reported:
        job.trial.report(point.values[objective.metric] or 0.0, point.step)
    job.best = point if job.best is None else objective.better(job.best, point)
    return None


def accuracy_before(epochs: Sequence[MetricPoint], chance: float | None) -> Metrics:
    """What a trial that diverged had come to: its clean accuracy at each choice of epoch, among
    those that it had; that of guessing where it had none."""
    finite = [point for point in epochs if math.isfinite(point.values.get(CLEAN) or 0.0)]
    if not finite:
        return {f"{CLEAN}_at_{choice}": chance for choice in CHOICES}
    chosen = choose_epochs(finite)
    return {f"{CLEAN}_at_{choice}": point.values.get(CLEAN) for choice, point in chosen.items()}


def to_be_pruned(job: Job, objective: Objective, points: Sequence[MetricPoint]) -> bool:
    """Whether the pruner ends a trial after these points; its last epoch is no longer judged."""
    epochs = [point.step for point in points if point.stage == FINETUNE]
    if objective.several or not epochs or max(epochs) >= job.config.finetune.epochs:
        return False
    return job.trial.should_prune()


def worth(job: Job, objective: Objective, result: TrialResult | None) -> list[float]:
    """What a complete trial is worth: the value of each goal."""
    assert job.best is not None
    metrics = {} if result is None else result.metrics()
    return objective.values(job.best, metrics)

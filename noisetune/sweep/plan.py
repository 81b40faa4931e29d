"""What a sweep will do, before it does: trials, stage runs with and without sharing, time, disk."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from noisetune.config import TrialConfig
from noisetune.data.base import DataConfig
from noisetune.datasets import Datasets
from noisetune.finetuning.base import PROBE
from noisetune.models.base import ModelConfig
from noisetune.records import (
    DETECT,
    DETECT_CV,
    EXTRACT,
    FINETUNE,
    FOLD,
    PRETRAIN,
)
from noisetune.ssl.base import PretrainConfig, SSLConfig
from noisetune.stages.crossval import crossval_key, fold_key
from noisetune.stages.detect import detect_key
from noisetune.stages.features import PASSES, extract_key
from noisetune.stages.finetune import finetune_key
from noisetune.stages.given import given_encoder, given_features, is_missing, unseen_key
from noisetune.stages.pretrain import pretrain_key
from noisetune.store import StageKey, StoreLike
from noisetune.sweep.planned_trials import planned_jobs, replicates_among
from noisetune.sweep.resolution import Resolution, resolutions
from noisetune.sweep.resources.auto_runtime import settle_runtime
from noisetune.sweep.resources.calibration import Speed, calibrate, stage_bytes
from noisetune.sweep.resources.capacity import fitting_trials
from noisetune.sweep.spec.pretrain_gate import PretrainGate
from noisetune.sweep.spec.sweep import Sweep

# Trials side by side share caches and memory; a calibration runs alone.
SLOWER, FASTER = 1.6, 0.9

_Origin = tuple[PretrainConfig, ModelConfig, DataConfig]


@dataclass(frozen=True)
class StageCount:
    """Runs and epochs of a stage: every trial for itself, shared, and what the store has.

    `stored` is None where that cannot be known: images or weights that it was made from are not
    here, and a plan fetches nothing.
    """

    runs_unshared: int
    runs: int
    epochs_unshared: int
    epochs: int
    stored: int | None


@dataclass(frozen=True)
class Plan:
    """Counts are what a sweep does where they are `exact`. Otherwise they are those of a sweep
    that stops no trial and ends no search early, and whose first trials win.

    `hours` and `gpu_hours` are ranges, `longest_epoch` a stage and the seconds that an epoch of it
    takes, None where nothing was measured; `disk_bytes` is what the store will hold of it.
    `resolution` says, by data and noise, what its noisy labels tell apart. `unseen` are data sets
    and weights that would have to be fetched: what the store has of them is counted as nothing.
    Where replicates grow, all is counted for as many as there may be, and `fewest_replicates` are
    those that there will be at least; so it is where conditions share a setting, which may be the
    own one of each, or another. Where each replicate is a search, `trials_each` are the most that
    one has: all of them are search trials.
    """

    sweep: str
    conditions: int
    search_trials: int
    replicates: int
    fewest_replicates: int
    trials_each: int | None
    slots: int
    exact: bool
    stages: dict[str, StageCount]
    hours: tuple[float, float] | None
    gpu_hours: tuple[float, float] | None
    longest_epoch: tuple[str, float] | None
    disk_bytes: int
    resolution: list[Resolution]
    unseen: list[str]

    def to_json(self) -> dict[str, Any]:
        """As `noisetune plan --json` prints it."""
        return asdict(self)


@dataclass(frozen=True)
class _Work:
    """One stage that a trial needs: `steps` epochs under a key, and earlier ones kept too."""

    key: StageKey
    steps: int
    config: TrialConfig
    kept: tuple[int, ...] = ()


def make_plan(
    sweep: Sweep,
    resources: Mapping[str, float],
    store: StoreLike,
    measure: bool = True,
    datasets: Datasets | None = None,
) -> Plan:
    """Count what a sweep does by handing out all its trials to nobody; starts and fetches nothing.

    Samplers that learn are replaced by random sampling, which asks for as many trials.
    """
    data = datasets or Datasets(fetch=False)
    sweep = settle_runtime(sweep, datasets=data)
    jobs = planned_jobs(sweep)
    trials = [job.config for job in jobs]
    replicates = replicates_among(jobs)
    given = _given(trials, data, store)
    work = [each for trial in trials for each in _stages(trial, data, given)]
    unseen = {each.key.digest: names for each in work if (names := _unseen(each, data))}
    slots = fitting_trials(sweep.config.resources, resources, sweep.config.max_concurrent)
    left = {key: _left(key, list(steps), store) for key, (steps, _) in _by_key(work).items()}
    hours = gpu_hours = longest = None
    if measure:
        seconds, longest = _seconds(work, left, data)
        hours = _range(seconds / slots / 3600)
        gpu_hours = _range(seconds * sweep.config.resources.gpu / 3600)
    return Plan(
        sweep=sweep.config.name,
        conditions=len(sweep.conditions),
        search_trials=sum(job.kind == "search" for job in jobs),
        replicates=len(replicates),
        fewest_replicates=len(
            {each for each in replicates if each[1] <= sweep.config.first_replicates}
        ),
        trials_each=None if sweep.config.searches is None else sweep.config.searches.trials,
        slots=slots,
        exact=_is_exact(sweep, trials) and not unseen,
        stages={
            stage: _count([each for each in work if each.key.stage == stage], left, unseen)
            for stage in _shown(work)
        },
        hours=hours,
        gpu_hours=gpu_hours,
        longest_epoch=longest,
        disk_bytes=_disk(work, left, data),
        resolution=resolutions(sweep, data.load),
        unseen=list(dict.fromkeys(name for names in unseen.values() for name in names)),
    )


def _shown(work: list[_Work]) -> tuple[str, ...]:
    stages = {each.key.stage for each in work}
    extracted = (EXTRACT,) if EXTRACT in stages else ()
    crossed = (FOLD, DETECT_CV) if FOLD in stages else ()
    return (PRETRAIN, *extracted, FINETUNE, DETECT, *crossed)


def _is_exact(sweep: Sweep, trials: list[TrialConfig]) -> bool:
    """Whether nothing that shows only while the sweep runs changes the counts."""
    config = sweep.config
    searched = {field for condition in sweep.conditions for field in condition.parameters}
    return not (
        config.sampler_kind.learns
        or config.prunes
        or config.pretrain_gate != PretrainGate()
        or config.patience is not None
        or config.growing is not None
        or config.shared_across
        or config.budget.hours is not None
        or config.budget.gpu_hours is not None
        or any(getattr(trial.pretrain, "stop", None) for trial in trials)
        # Which winners share an encoder decides what their replicates share.
        or (
            config.searches is None
            and config.most_replicates
            and any(field.startswith("pretrain.") for field in searched)
        )
    )


def _given(trials: list[TrialConfig], data: Datasets, store: StoreLike) -> dict[_Origin, StageKey]:
    """What each given encoder, and all given features, are known by; each is read once."""
    found: dict[_Origin, StageKey] = {}
    for trial in trials:
        if _origin(trial) not in found:
            if not data.fetch and is_missing(trial):
                found[_origin(trial)] = unseen_key(trial)
                continue
            images = data.load(trial.data)
            given = given_encoder(trial, images, store) or given_features(trial, images)
            found |= {} if given is None else {_origin(trial): given[0]}
    return found


def _origin(trial: TrialConfig) -> _Origin:
    return trial.pretrain, trial.model, trial.data


def _stages(
    config: TrialConfig, datasets: Datasets, given: Mapping[_Origin, StageKey]
) -> Iterator[_Work]:
    data = datasets.load(config.data)
    origin, epochs = pretrain_key(config, data) or given.get(_origin(config)), 0
    if isinstance(config.pretrain, SSLConfig):
        assert origin is not None
        epochs = config.pretrain.epochs
        yield _Work(origin, epochs, config, config.looked_at())
    if config.finetune.train == PROBE and config.has_backbone:
        origin = extract_key(config, data, origin, epochs)
        yield _Work(origin, PASSES, config)
    tuning = finetune_key(config, data, origin, epochs)
    yield _Work(tuning, config.finetune.epochs, config)
    for detector in config.detect.detectors:
        yield _Work(detect_key(config, tuning, detector), 0, config)
    if config.detect.folds is not None:
        for fold in range(config.detect.folds):
            yield _Work(fold_key(config, tuning, fold), config.finetune.epochs, config)
        for detector in config.detect.detectors:
            yield _Work(crossval_key(config, tuning, detector), 0, config)


def _by_key(work: list[_Work]) -> dict[StageKey, tuple[set[int], TrialConfig]]:
    """The steps that are wanted of each key, and a configuration that wants it."""
    wanted: dict[str, tuple[StageKey, set[int], TrialConfig]] = {}
    for each in work:
        _, steps, _ = wanted.setdefault(each.key.digest, (each.key, set(), each.config))
        steps.update({each.steps, *each.kept})
    return {key: (steps, config) for key, steps, config in wanted.values()}


def _left(key: StageKey, wanted: list[int], store: StoreLike) -> tuple[int, int, int]:
    """Entries to make, epochs to compute for them, and entries that the store has."""
    there = set(store.steps(key))
    entries = epochs = stored = 0
    for step in sorted(wanted):
        if step in there:
            stored += 1
            continue
        epochs += step - max((before for before in there if before <= step), default=0)
        entries += 1
        there.add(step)
    return entries, epochs, stored


def _unseen(work: _Work, data: Datasets) -> list[str]:
    """What a stage would be computed from that is not here, in words."""
    config = work.config
    images = [] if data.load(config.data).seen else [config.data.name]
    weights = not data.fetch and is_missing(config)
    return images + ([f"the weights of {config.pretrain.method}"] if weights else [])


def _count(
    work: list[_Work],
    left: Mapping[StageKey, tuple[int, int, int]],
    unseen: Mapping[str, list[str]],
) -> StageCount:
    mine = [left[key] for key in _by_key(work)]
    known = not any(each.key.digest in unseen for each in work)
    return StageCount(
        runs_unshared=len(work),
        runs=sum(entries > 0 for entries, _, _ in mine),
        epochs_unshared=sum(each.steps for each in work),
        epochs=sum(epochs for _, epochs, _ in mine),
        stored=sum(stored for _, _, stored in mine) if known else None,
    )


def _seconds(
    work: list[_Work],
    left: Mapping[StageKey, tuple[int, int, int]],
    data: Datasets,
) -> tuple[float, tuple[str, float] | None]:
    """Seconds of all stages one after the other, from a short measurement of each kind, and the
    stage with the longest epoch."""
    speeds: dict[str, Speed] = {}
    total, longest = 0.0, None
    for key, (_, config) in _by_key(work).items():
        if left[key][1]:
            # A fold is a fine-tuning on a little less.
            stage = FINETUNE if key.stage == FOLD else key.stage
            seconds = calibrate(stage, config, data.load(config.data), speeds).seconds_per_epoch
            total += left[key][1] * seconds
            longest = max(longest or (stage, 0.0), (stage, seconds), key=lambda each: each[1])
    return total, longest


def _range(estimate: float) -> tuple[float, float]:
    return estimate * FASTER, estimate * SLOWER


def _disk(
    work: list[_Work],
    left: Mapping[StageKey, tuple[int, int, int]],
    data: Datasets,
) -> int:
    return sum(
        left[key][0] * stage_bytes(key.stage, config, data.load(config.data))
        for key, (_, config) in _by_key(work).items()
    )

"""One configuration through the whole pipeline, in this process: for a notebook."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from noisetune import pipeline
from noisetune.allowed import check_written
from noisetune.config import TrialConfig
from noisetune.records import Event, TrialResult
from noisetune.store import NullStore, StoreLike, open_answering
from noisetune.sweep.home import Home


def run_trial(
    config: str | Path | Mapping[str, Any] | TrialConfig,
    *,
    store: str | Path | None = None,
    share: bool = True,
    mlruns: str | Path = "mlruns",
    allow_write: Iterable[str | Path] = (),
    on_event: Callable[[Event], None] | None = None,
) -> TrialResult:
    """Run one configuration, and give its result, as `noisetune run` does.

    Parameters:
        config: the path of a trial's YAML file, its content as a mapping, or a `TrialConfig`.
        store: the store of stages, a folder or a URL; by default MLRUNS/stages.
        share: whether finished stages are taken from the store, and put there.
        mlruns: the folder that holds the store where none is given.
        allow_write: folders that a YAML file may have written to, beside its own, the mlruns folder
            and the cache. What a mapping or a `TrialConfig` says is your program's word.
        on_event: is told of each `MetricPoint`, of `Tick`s inside of long epochs, and where it is
            `Waiting` for another process that computes a stage.

    Raises UserError for what is wrong with the configuration, its data or its weights, and
    DivergedError where a loss is not finite.
    """
    trial = read_trial(config, mlruns, allow_write)
    stages = Home(Path(mlruns)).shared_stages(None if store is None else str(store), share)
    events = pipeline.run_trial(trial, _opened(stages, store))
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value
        if on_event is not None:
            on_event(event)


def _opened(stages: str | None, store: str | Path | None) -> StoreLike:
    if stages is None:
        return NullStore()
    return open_answering(stages, "--mlruns" if store is None else "--store")


def read_trial(
    config: str | Path | Mapping[str, Any] | TrialConfig,
    mlruns: str | Path = "mlruns",
    allow_write: Iterable[str | Path] = (),
) -> TrialConfig:
    """A trial as it is given, validated; UserError for all that is wrong, and where a file would
    have anything written that it may not."""
    if isinstance(config, TrialConfig):
        return config
    if isinstance(config, (str, Path)):
        trial, own = TrialConfig.read(Path(config)), Path(config).parent
        more = [Path(each).expanduser() for each in allow_write]
        check_written(trial.written(), str(config), own, Path(mlruns), more)
        return trial
    return TrialConfig.parse(dict(config), "the trial")

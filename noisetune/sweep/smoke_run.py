"""What a smoke run puts in place of images, labels and weights that it would have to fetch."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from noisetune.config import TrialConfig
from noisetune.data.base import DataConfig
from noisetune.noise.base import CleanPart
from noisetune.plugins import StandIn
from noisetune.ssl.base import GivenEncoder
from noisetune.stages.labels import clean_part
from noisetune.sweep.spec.config import NO_RESULTS
from noisetune.sweep.spec.smoke import Substitutes, corner_trials, smoke
from noisetune.sweep.spec.sweep import Sweep

MADE_UP_IMAGES = {"train_samples": 1000, "test_samples": 1}
"""More training images than a smoke run takes."""
WHOLE = {"train_samples": None, "test_samples": None}
Say = Callable[[str], None]


def in_small(sweep: Sweep, folder: Path, say: Say) -> Sweep:
    """The smoke run of a sweep; files that it needs are made in `folder`.

    `say` is told of everything that is made up. Nothing is downloaded.
    """
    trials = corner_trials(sweep.conditions)
    say(NO_RESULTS)
    substitutes, reasons = Substitutes(), list[str]()
    images = _images(trials, substitutes, say)
    for trial in trials:
        clean = _clean_part(trial, images)
        made_up = bool(images)
        stand_in = trial.noise.stand_in(clean, made_up, folder)
        reasons += _taken(substitutes, "noise", trial.noise, stand_in)
        if isinstance(trial.pretrain, GivenEncoder):
            weights = trial.pretrain.stand_in(trial.model, folder)
            reasons += _taken(substitutes, "pretrain", trial.pretrain, weights)
    for reason in dict.fromkeys(reasons):
        say(reason)
    return Sweep.from_definition(smoke(sweep.definition(), trials, substitutes))


def _images(trials: list[TrialConfig], substitutes: Substitutes, say: Say) -> dict[str, Any]:
    """The fields that make images up; empty where all are there."""
    fields: dict[str, Any] = {}
    missing = []
    for data in dict.fromkeys(trial.data.model_copy(update=WHOLE) for trial in trials):
        stand_in = data.stand_in()
        if stand_in is not None:
            substitutes.add("data", data, stand_in.fields)
            fields |= stand_in.fields
            missing.append(stand_in.why)
    if missing:
        say(f"images are made up, since nothing is downloaded for this: {', '.join(missing)}")
    return fields


def _taken(
    substitutes: Substitutes, section: str, config: Any, stand_in: StandIn | None
) -> list[str]:
    if stand_in is None:
        return []
    substitutes.add(section, config, stand_in.fields)
    return [stand_in.why]


def _clean_part(trial: TrialConfig, images: Mapping[str, Any]) -> Callable[[], CleanPart]:
    def read() -> CleanPart:
        data = _source(trial.data, images)
        # By noise that needs no file: the trial's own may be what is missing.
        known = trial.model_copy(update={"data": data, "noise": TrialConfig().noise})
        return clean_part(known, data.load(), "train")

    return read


def _source(data: DataConfig, images: Mapping[str, Any]) -> DataConfig:
    """Where a smoke run's images come from, and more of them than it takes."""
    known = {name: value for name, value in images.items() if name in type(data).model_fields}
    count = MADE_UP_IMAGES if known and not data.drawn else WHOLE
    # Labels are what is asked for, of images of any size.
    size = {} if type(data).model_fields["size"].is_required() else {"size": None}
    return data.model_copy(update=known | count | size)

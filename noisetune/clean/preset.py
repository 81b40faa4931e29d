"""How to look at images in the time that there is: a configuration, and how long it takes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from noisetune.config import TrialConfig
from noisetune.data.base import ImageData
from noisetune.finetuning.base import PROBE
from noisetune.records import EXTRACT, FINETUNE, FOLD, PRETRAIN
from noisetune.ssl.base import SSLConfig
from noisetune.sweep.resources.calibration import Speed, calibrate
from noisetune.training.optimisation import Optimisation
from noisetune.yaml_files import write_yaml

MINUTES = 10.0
USED = 0.85
"""The share of the time that is planned with: reading, duplicates and the page take some, too."""
PRETRAINING = 0.4
"""The share of the time that pre-training takes where networks are fine-tuned after it."""
MOST_PRETRAINING, MOST_TUNING, FEWEST_TUNING = 200, 30, 4
PROBE_EPOCHS, PROBE_ROUNDS = 40, 3
FOLDS, FEW_FOLDS = 5, 3
BATCHES_AN_EPOCH, BATCHES = 16, (32, 64, 128, 256)
WIDTHS = {"cpu": 16, "cuda": 64}
DETECTORS: tuple[dict[str, Any], ...] = (
    {"method": "margin"},
    {"method": "aum"},
    {"method": "knn"},
)


@dataclass(frozen=True)
class Plan:
    """What is computed: a resolved configuration without data, and how often the folds are cut;
    `seconds` by stage are what each is expected to take on this machine."""

    config: TrialConfig
    rounds: int
    seconds: Mapping[str, float]

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


def preset(data: ImageData, minutes: float, given: Mapping[str, Any] | None = None) -> Plan:
    """The plan that uses so many minutes best, as far as is known; `given` sections stand over it.

    Networks are fine-tuned as a whole where there is time for `FEWEST_TUNING` epochs over five
    folds, or over three; else a head is trained on the encoder's features. Pre-training gets what
    is left.
    """
    known: dict[str, Speed] = {}
    budget = 60 * minutes * USED
    for folds in (FOLDS, FEW_FOLDS):
        tuned = _tuned(data, folds, given)
        epochs = int((1 - PRETRAINING) * budget / _epoch_of_folds(tuned, data, known))
        if epochs >= FEWEST_TUNING:
            tuned = _with_epochs(tuned, "finetune", min(epochs, MOST_TUNING))
            return _with_pretraining(tuned, data, budget, 1, known)
    return _with_pretraining(_probed(data, given), data, budget, PROBE_ROUNDS, known)


def adapted(raw: Mapping[str, Any], data: ImageData, source: str) -> TrialConfig:
    """A trial's configuration as one for these images: with folds and detectors, and without its
    own data and noise; UserError, naming `source`, for what is wrong in it."""
    given = {name: value for name, value in raw.items() if name not in ("data", "noise")}
    detect = dict(given.get("detect") or {})
    if detect.get("folds") is None:
        detect |= {"folds": FOLDS, "checkpoint": "last"}
        detect.setdefault("also", [dict(each) for each in DETECTORS])
    whole = {**given, "noise": {"model": "none"}, "detect": detect, "pretrain_seed": "shared"}
    return TrialConfig.parse(whole, source).resolve(data=data)


def plan_of(config: TrialConfig, data: ImageData, rounds: int) -> Plan:
    """The plan of a configuration that is given."""
    return Plan(config, rounds, _seconds(config, data, rounds, {}))


def write_config(path: Path, config: TrialConfig) -> None:
    """The configuration as a file that `--config` takes."""
    written = {name: each for name, each in config.to_json().items() if name != "data"}
    write_yaml(path, written, "The settings that `noisetune clean DATA --config` repeats.")


def _tuned(data: ImageData, folds: int, given: Mapping[str, Any] | None) -> TrialConfig:
    batch = _batch(len(data.x_train) * (folds - 1) // folds)
    detect = {"method": "self_confidence", "also": [dict(each) for each in DETECTORS]}
    raw: dict[str, Any] = {
        "model": {"name": "resnet18", "width": WIDTHS[_device()]},
        "pretrain": {"method": "simclr", "schedule": "cosine", "batch_size": batch},
        "finetune": {"method": "cross_entropy", "schedule": "cosine", "batch_size": batch},
        "detect": detect | {"folds": folds, "checkpoint": "last"},
    }
    for name, section in (given or {}).items():
        raw[name] = raw.get(name, {}) | section if isinstance(section, dict) else section
    return adapted(raw, data, "the preset")


def _probed(data: ImageData, given: Mapping[str, Any] | None) -> TrialConfig:
    config = _tuned(data, FOLDS, given)
    update = {"train": PROBE, "epochs": PROBE_EPOCHS}
    return config.model_copy(update={"finetune": config.finetune.model_copy(update=update)})


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _batch(images: int) -> int:
    fitting = [size for size in BATCHES if size * BATCHES_AN_EPOCH <= images]
    return max(fitting, default=BATCHES[0])


def _with_epochs(config: TrialConfig, section: str, epochs: int) -> TrialConfig:
    part: Optimisation = getattr(config, section)
    return config.model_copy(update={section: part.model_copy(update={"epochs": epochs})})


def _with_pretraining(
    config: TrialConfig, data: ImageData, budget: float, rounds: int, known: dict[str, Speed]
) -> Plan:
    """As many epochs of pre-training as the rest leaves room for."""
    seconds = _seconds(config, data, rounds, known)
    if isinstance(config.pretrain, SSLConfig):
        epoch = seconds.pop(PRETRAIN) / config.pretrain.epochs
        left = int((budget - sum(seconds.values())) / epoch)
        epochs = min(max(1, left), MOST_PRETRAINING)
        config = _with_epochs(config, "pretrain", epochs)
        seconds = {PRETRAIN: epochs * epoch} | seconds
    return Plan(config, rounds, seconds)


def _seconds(
    config: TrialConfig, data: ImageData, rounds: int, known: dict[str, Speed]
) -> dict[str, float]:
    return dict(_stages(config, data, rounds, known))


def _stages(
    config: TrialConfig, data: ImageData, rounds: int, known: dict[str, Speed]
) -> Iterator[tuple[str, float]]:
    if isinstance(config.pretrain, SSLConfig):
        epoch = calibrate(PRETRAIN, config, data, known).seconds_per_epoch
        yield PRETRAIN, config.pretrain.epochs * epoch
    yield EXTRACT, calibrate(EXTRACT, config, data, known).seconds_per_epoch
    yield FOLD, rounds * config.finetune.epochs * _epoch_of_folds(config, data, known)


def _epoch_of_folds(config: TrialConfig, data: ImageData, known: dict[str, Speed]) -> float:
    """The seconds of an epoch of the networks of all folds."""
    folds = config.detect.folds or FOLDS
    kept = max(1, len(data.x_train) // folds)
    judged = replace(data, x_test=data.x_train[:kept], y_test=data.y_train[:kept])
    # Measured with a validation part, which does not learn.
    learning = (1 - 1 / folds) / (1 - config.data.validation_fraction)
    return folds * learning * calibrate(FINETUNE, config, judged, known).seconds_per_epoch

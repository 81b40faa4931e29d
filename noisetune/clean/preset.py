"""How to look at images in the time that there is: a configuration, and how long it takes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from noisetune.clean.looking import check, one_for_a_head
from noisetune.clean.patches import COUNTS, WIDEST, flops_of_a_filter, seconds_of_a_filter
from noisetune.clean.verdicts import JUDGE
from noisetune.config import TrialConfig
from noisetune.data.base import ImageData
from noisetune.detectors._neighbours import seconds_of_search
from noisetune.errors import UserError
from noisetune.finetuning.base import PROBE
from noisetune.records import EXTRACT, FINETUNE, FOLD, PRETRAIN
from noisetune.ssl.base import SSLConfig
from noisetune.sweep.resources.calibration import Speed, calibrate
from noisetune.training.optimisation import Optimisation
from noisetune.training.speed import FORWARD_AND_BACKWARD, forward_flops
from noisetune.yaml_files import write_yaml

MINUTES = 10.0
USED = 0.85
"""The share of the time that is planned with: reading, duplicates and the page take some, too."""
PRETRAINING = 0.4
"""The share of the time that pre-training takes where networks are fine-tuned after it."""
MOST_PRETRAINING, MOST_TUNING, FEWEST_TUNING = 200, 40, 20
PROBE_STEPS, PROBE_EPOCHS, PROBE_ROUNDS = 800, (15, 60), 3
"""A head learns for so many steps, and for epochs from the fewest to the most."""
FOLDS, FEW_FOLDS = 5, 3
BATCHES_AN_EPOCH, BATCHES = 16, (32, 64, 128, 256)
LARGE = 4000
WIDTHS = {"cpu": 16, "cuda": 64}
FEATURES_WIDTH = 64
"""The network of this width has as many features as patches have, and is not computed."""
EXTRACTING = 0.5
"""The share of the time that the features of patches may take."""
SEARCHES = 2
"""For the votes of the nearest images, and for near duplicates."""
PATCHES, ROUNDS = "patches", "rounds"
DETECTORS: tuple[dict[str, Any], ...] = (
    {"method": "aum"},
    {"method": "knn"},
)


@dataclass(frozen=True)
class Plan:
    """What is computed: a resolved configuration without data, and how often the folds are cut;
    `seconds` by stage are what each is expected to take on this machine. `patches` is the number
    of filters where their features stand for an encoder, else 0."""

    config: TrialConfig
    rounds: int
    seconds: dict[str, float]
    patches: int = 0

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


def preset(data: ImageData, minutes: float) -> Plan:
    """The plan that uses so many minutes best, as far as is known.

    Networks are pre-trained, and fine-tuned as a whole, where there is time for `FEWEST_TUNING`
    epochs over five folds, or over three. On a CPU there seldom is: then a head is trained on the
    features of patches. Elsewhere it is trained on the encoder's features.
    """
    known: dict[str, Speed] = {}
    budget = 60 * minutes * USED
    on_cpu = _device() == "cpu"
    filter_seconds = seconds_of_a_filter(data) if on_cpu else 0.0
    for folds in (FOLDS, FEW_FOLDS):
        tuned = _tuned(data, folds)
        if on_cpu and _hopeless(tuned, data, budget, filter_seconds):
            continue
        epochs = int((1 - PRETRAINING) * budget / _epoch_of_folds(tuned, data, known))
        if epochs >= FEWEST_TUNING:
            tuned = _with_epochs(tuned, "finetune", min(epochs, MOST_TUNING))
            return _with_pretraining(tuned, data, budget, known)
    if not on_cpu:
        return _with_pretraining(_probed(data, "simclr"), data, budget, known, PROBE_ROUNDS)
    config = _probed(data, "none")
    fitting = [each for each in COUNTS if each * filter_seconds <= EXTRACTING * budget]
    once = plan_of(config, data, 1, max(fitting, default=COUNTS[-1]))
    around = once.seconds[EXTRACT] + once.seconds[JUDGE]
    fitting_rounds = int((budget - around) / once.seconds[FOLD])
    rounds = min(PROBE_ROUNDS, max(1, fitting_rounds))
    return replace(once, rounds=rounds, seconds=once.seconds | {FOLD: rounds * once.seconds[FOLD]})


def _hopeless(config: TrialConfig, data: ImageData, budget: float, filter_seconds: float) -> bool:
    """Whether so little of the fine-tuning could be done that to measure it is a waste of time."""
    images, folds = len(data.x_train), config.detect.folds or FOLDS
    a_second = flops_of_a_filter(data) * images / filter_seconds
    epoch = FORWARD_AND_BACKWARD * forward_flops(config.model, data.shape) * images * (folds - 1)
    return epoch * FEWEST_TUNING / a_second > 2 * budget


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


def plan_of(config: TrialConfig, data: ImageData, rounds: int, patches: int = 0) -> Plan:
    """The plan of a configuration that is given."""
    return Plan(config, rounds, dict(_stages(config, data, rounds, {}, patches)), patches)


def read_plan(raw: Any, data: ImageData, source: str, rounds: int | None) -> Plan:
    """The plan that a file says: a trial's configuration, and maybe `patches` and `rounds`.

    UserError, naming `source`, for what is wrong in it.
    """
    if not isinstance(raw, dict):
        raise UserError(f"{source}: is no configuration; give the sections of a trial")
    given = dict(raw)
    patches, own = (given.pop(name, default) for name, default in ((PATCHES, 0), (ROUNDS, 1)))
    for name, value, least in ((PATCHES, patches, 0), (ROUNDS, own, 1)):
        if type(value) is not int or value < least:
            raise UserError(f"{source}: {name}: {value!r}: give a whole number from {least} on")
    config = adapted(given, data, source)
    check(config, data, patches)
    return plan_of(config, data, rounds or own, patches)


def write_plan(path: Path, plan: Plan) -> None:
    """The plan as a file that `--config` takes."""
    own = {PATCHES: plan.patches, ROUNDS: plan.rounds}
    config = {name: each for name, each in plan.config.to_json().items() if name != "data"}
    write_yaml(path, own | config, "The settings that `noisetune clean DATA --config` repeats.")


def _tuned(data: ImageData, folds: int, **more: dict[str, Any]) -> TrialConfig:
    """A preset's configuration; `more` are fields that it has beside these, by section."""
    batch = _batch(len(data.x_train) * (folds - 1) // folds)
    detect = {"method": "self_confidence", "also": [dict(each) for each in DETECTORS]}
    raw: dict[str, Any] = {
        "model": {"name": "resnet18", "width": WIDTHS[_device()]},
        "pretrain": {"method": "simclr", "schedule": "cosine", "batch_size": batch},
        "finetune": {"method": "cross_entropy", "schedule": "cosine", "batch_size": batch},
        "detect": detect | {"folds": folds, "checkpoint": "last"},
    }
    for name, section in more.items():
        raw[name] = section if name == "pretrain" else raw[name] | section
    return adapted(raw, data, "the preset")


def _probed(data: ImageData, method: str) -> TrialConfig:
    """A head on features, of patches where the `method` of pre-training is none."""
    batch = BATCHES[-1] if len(data.x_train) >= LARGE else BATCHES[-2]
    few, many = PROBE_EPOCHS
    epochs = min(many, max(few, PROBE_STEPS * batch // len(data.x_train)))
    finetune = {"train": PROBE, "epochs": epochs, "head": "mlp", "batch_size": batch}
    if method != "none":
        return _tuned(data, FOLDS, finetune=finetune)
    model = {"width": FEATURES_WIDTH}
    return _tuned(data, FOLDS, finetune=finetune, model=model, pretrain={"method": method})


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
    config: TrialConfig, data: ImageData, budget: float, known: dict[str, Speed], rounds: int = 1
) -> Plan:
    """As many epochs of pre-training as the rest leaves room for."""
    seconds = dict(_stages(config, data, rounds, known))
    assert isinstance(config.pretrain, SSLConfig)
    epoch = seconds.pop(PRETRAIN) / config.pretrain.epochs
    left = int((budget - sum(seconds.values())) / epoch)
    epochs = min(max(1, left), MOST_PRETRAINING)
    config = _with_epochs(config, "pretrain", epochs)
    return Plan(config, rounds, {PRETRAIN: epochs * epoch} | seconds)


def _stages(
    config: TrialConfig, data: ImageData, rounds: int, known: dict[str, Speed], patches: int = 0
) -> Iterator[tuple[str, float]]:
    """The seconds of each stage."""
    if patches:
        yield EXTRACT, patches * seconds_of_a_filter(data)
    else:
        if isinstance(config.pretrain, SSLConfig):
            epoch = calibrate(PRETRAIN, config, data, known).seconds_per_epoch
            yield PRETRAIN, config.pretrain.epochs * epoch
        yield EXTRACT, calibrate(EXTRACT, config, data, known).seconds_per_epoch
    yield FOLD, rounds * config.finetune.epochs * _epoch_of_folds(config, data, known)
    yield JUDGE, SEARCHES * seconds_of_search(len(data.x_train), WIDEST)


def _epoch_of_folds(config: TrialConfig, data: ImageData, known: dict[str, Speed]) -> float:
    """The seconds of an epoch of the networks of all folds."""
    folds = config.detect.folds or FOLDS
    kept = max(1, len(data.x_train) // folds)
    judged = replace(data, x_test=data.x_train[:kept], y_test=data.y_train[:kept])
    # Measured with a validation part, which does not learn.
    learning = (1 - 1 / folds) / (1 - config.data.validation_fraction)
    measured = one_for_a_head(config)
    return folds * learning * calibrate(FINETUNE, measured, judged, known).seconds_per_epoch

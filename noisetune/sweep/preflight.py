"""What is looked at before anything starts: the data of a sweep, its noise and its encoders."""

from noisetune.data.base import DataConfig, ImageData
from noisetune.datasets import Datasets
from noisetune.errors import UserError
from noisetune.models.base import ModelConfig
from noisetune.noise.base import Matrix, NoiseConfig, diagonally_dominant
from noisetune.ssl.base import PretrainConfig
from noisetune.stages.given import given_encoder
from noisetune.stages.labels import clean_part, require_images
from noisetune.store import NullStore, StoreLike
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.samplers import SAMPLERS
from noisetune.sweep.spec.sweep import Sweep

NULL = NullStore()


def preflight(sweep: Sweep, store: StoreLike = NULL, datasets: Datasets | None = None) -> None:
    """Refuse, before anything starts, data that cannot be read or are too few, a device that a
    trial does not have, labels that tell nothing, and encoders that are given and are not there or
    do not fit."""
    objective, resources = sweep.config.objective, sweep.config.resources
    selected_by_noise = not objective.oracle and not objective.allow_uninformative
    if sweep.config.pretraining_designs is not None and (
        sweep.config.warm_start or not sweep.config.sampler_kind.takes_choices
    ):
        numeric = [name for name, kind in SAMPLERS.items() if not kind.takes_choices]
        raise UserError(
            "pretraining_designs: designs are numbered choices of this sweep: they go neither with "
            f"warm_start nor with sampler {' or '.join(numeric)}; take one of the two out"
        )
    datasets = datasets or Datasets()
    matrices: dict[tuple[DataConfig, NoiseConfig], Matrix] = {}
    checked: set[tuple[PretrainConfig, ModelConfig, DataConfig]] = set()
    for condition in sweep.conditions:
        trial = condition.trial(next(iter(condition.corners())))
        trial.runtime.resolve(resources.cpu, resources.known_gpu)
        data = datasets.load(trial.data)
        for values in condition.corners():
            require_images(condition.trial(values), len(data.y_train))
        noise = trial.data, trial.noise
        if noise not in matrices:
            clean = clean_part(trial, data, "train")
            matrices[noise] = trial.noise.transition_matrix(clean)
        if selected_by_noise and not diagonally_dominant(matrices[noise]):
            raise UserError(
                f"objective.metric: {objective.metric} in condition {condition.name}: with this "
                "noise a wrong label is as frequent as the right one, so noisy labels choose "
                "nothing; lower the rate, or set objective.allow_uninformative: true"
            )
        _check_given(condition, data, store, checked)


def _check_given(
    condition: Condition,
    data: ImageData,
    store: StoreLike,
    checked: set[tuple[PretrainConfig, ModelConfig, DataConfig]],
) -> None:
    """Read every given encoder that trials of a condition may begin with, each once."""
    for values in condition.corners():
        trial = condition.trial(values)
        what = trial.pretrain, trial.model, trial.data
        if what not in checked:
            given_encoder(trial, data, store)
            checked.add(what)

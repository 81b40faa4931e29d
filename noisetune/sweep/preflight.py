"""What is looked at before anything starts: a sweep's data, noise, backbones and encoders."""

from noisetune.data.base import DataConfig, ImageData
from noisetune.datasets import Datasets
from noisetune.errors import UserError
from noisetune.models.base import ModelConfig
from noisetune.noise.base import Matrix, NoiseConfig, diagonally_dominant
from noisetune.ssl.base import PretrainConfig
from noisetune.stages.given import given_encoder, given_features, is_missing
from noisetune.stages.labels import clean_part, require_images, require_truth
from noisetune.stages.pretrain import check_views
from noisetune.store import NullStore, StoreLike
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.samplers import SAMPLERS
from noisetune.sweep.spec.sweep import Sweep
from noisetune.training.memory_format import check_memory_format

NULL = NullStore()


def preflight(sweep: Sweep, store: StoreLike = NULL, datasets: Datasets | None = None) -> None:
    """Refuse, before anything starts, data that cannot be read or are too few, a device that a
    trial does not have or a memory format that it fails at, labels that tell nothing, methods that
    ask for a truth that nobody knows, backbones that cannot take the images or views of them, and
    encoders and features that are given and are not there or do not fit."""
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
        runtime = trial.runtime.resolve(resources.cpu, resources.known_gpu)
        data = datasets.load(trial.data)
        for corner in map(condition.trial, condition.corners()):
            require_images(corner, len(data.y_train))
            require_truth(corner, data)
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
        _check_encoders(condition, data, store, checked, datasets.fetch)
        for trial in map(condition.trial, condition.corners()):
            if trial.has_backbone:
                check_memory_format(trial.model, data.shape, runtime)


def _check_encoders(
    condition: Condition,
    data: ImageData,
    store: StoreLike,
    checked: set[tuple[PretrainConfig, ModelConfig, DataConfig]],
    fetch: bool,
) -> None:
    """Build, without content, every backbone that trials of a condition may have, and read every
    encoder and all features that they may be given, each once; without `fetch` no weights that are
    not here."""
    for values in condition.corners():
        trial = condition.trial(values)
        what = trial.pretrain, trial.model, trial.data
        if what not in checked:
            if trial.has_backbone:
                trial.model.state(data.channels, data.size)
                check_views(trial, data)
            if fetch or not is_missing(trial):
                given_encoder(trial, data, store)
            given_features(trial, data)
            checked.add(what)

"""What is looked at before anything starts: the files of a sweep, its data, noise and encoders."""

from collections.abc import Callable, Sequence
from pathlib import Path

from noisetune.analysis.statistics import diagonally_dominant
from noisetune.data.base import DataConfig, ImageData
from noisetune.errors import UserError
from noisetune.models.base import ModelConfig
from noisetune.noise.base import Matrix, NoiseConfig
from noisetune.ssl.base import PretrainConfig
from noisetune.stages.given import given_encoder
from noisetune.stages.labels import clean_part, require_images
from noisetune.store import NullStore, StoreLike
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.config import find_search_space, read_sweep
from noisetune.sweep.spec.samplers import NO_CHOICES
from noisetune.sweep.spec.space import read_space
from noisetune.sweep.spec.sweep import Sweep, naming

NULL = NullStore()


def prepare_file(
    file: Path,
    name: str | None = None,
    settings: Sequence[str] = (),
    store: StoreLike = NULL,
    in_small: "Callable[[Sweep], Sweep] | None" = None,
) -> Sweep:
    """The sweep in a file, with its search space and its data looked at, before anything starts.

    `store` is where encoders are that it names by their stage; `in_small` makes a smoke run of it
    before its data are looked at. UserError, naming the files, for all that is wrong.
    """
    config = read_sweep(file, name, settings)
    space_file = find_search_space(config.search_space, file)
    space = read_space(space_file)
    with naming(f"{file} with {space_file}"):
        sweep = Sweep.prepare(config, space)
        sweep = in_small(sweep) if in_small else sweep
        preflight(sweep, store)
    return sweep


def preflight(sweep: Sweep, store: StoreLike = NULL) -> None:
    """Refuse, before anything starts, data that cannot be read or are too few, a device that a
    trial does not have, labels that tell nothing, and encoders that are given and are not there or
    do not fit."""
    objective, resources = sweep.config.objective, sweep.config.resources
    selected_by_noise = not objective.oracle and not objective.allow_uninformative
    if sweep.config.pretraining_designs is not None and (
        sweep.config.warm_start or sweep.config.sampler.get("name") in NO_CHOICES
    ):
        raise UserError(
            "pretraining_designs: designs are numbered choices of this sweep: they go neither with "
            f"warm_start nor with sampler {' or '.join(NO_CHOICES)}; take one of the two out"
        )
    loaded: dict[DataConfig, ImageData] = {}
    matrices: dict[tuple[DataConfig, NoiseConfig], Matrix] = {}
    checked: set[tuple[PretrainConfig, ModelConfig, int]] = set()
    for condition in sweep.conditions:
        trial = condition.trial(next(iter(condition.corners())))
        trial.runtime.resolve(resources.cpu, resources.known_gpu)
        if trial.data not in loaded:
            loaded[trial.data] = trial.data.load()
        for values in condition.corners():
            require_images(condition.trial(values), len(loaded[trial.data].y_train))
        noise = trial.data, trial.noise
        if noise not in matrices:
            clean = clean_part(trial, loaded[trial.data], "train")
            matrices[noise] = trial.noise.transition_matrix(clean)
        if selected_by_noise and not diagonally_dominant(matrices[noise]):
            raise UserError(
                f"objective.metric: {objective.metric} in condition {condition.name}: with this "
                "noise a wrong label is as frequent as the right one, so noisy labels choose "
                "nothing; lower the rate, or set objective.allow_uninformative: true"
            )
        _check_given(condition, loaded[trial.data].channels, store, checked)


def _check_given(
    condition: Condition,
    channels: int,
    store: StoreLike,
    checked: set[tuple[PretrainConfig, ModelConfig, int]],
) -> None:
    """Read every given encoder that trials of a condition may begin with, each once."""
    for values in condition.corners():
        trial = condition.trial(values)
        what = trial.pretrain, trial.model, channels
        if what not in checked:
            given_encoder(trial, channels, store)
            checked.add(what)

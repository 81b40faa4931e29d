"""A sweep made ready: read, crossed, validated, and looked up again; nothing of it runs here."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noisetune.analysis.statistics import diagonally_dominant
from noisetune.data.base import DataConfig, ImageData
from noisetune.errors import UserError
from noisetune.models.base import ModelConfig
from noisetune.noise.base import Matrix, NoiseConfig
from noisetune.records import TrialRecord
from noisetune.ssl.base import PretrainConfig
from noisetune.stages.given import given_encoder
from noisetune.stages.labels import clean_part
from noisetune.store import Lease, NullStore, StoreLike
from noisetune.sweep.conditions import Condition, cross, validate, with_designs
from noisetune.sweep.config import (
    NAME_RULE,
    SweepConfig,
    find_search_space,
    override_all,
    parse_sweep,
    read_sweep,
)
from noisetune.sweep.driver import own_journal
from noisetune.sweep.extension import check_extension
from noisetune.sweep.home import Home
from noisetune.sweep.ledger import Ledger, journal, name_taken
from noisetune.sweep.samplers import EXHAUSTIVE, NO_CHOICES
from noisetune.sweep.space import SearchSpace, read_space

NULL = NullStore()


@dataclass(frozen=True)
class Sweep:
    """A validated sweep with its conditions."""

    config: SweepConfig
    space: SearchSpace
    conditions: list[Condition]

    @classmethod
    def prepare(cls, config: SweepConfig, space: SearchSpace) -> "Sweep":
        """Cross the conditions and build a trial at every corner; UserError for what is wrong."""
        conditions = cross(space, config.trial)
        if config.pretraining_designs is not None:
            conditions = with_designs(conditions, config.pretraining_designs, config.seed)
        validate(conditions)
        _check_grid(config, conditions)
        _check_enqueued(config, conditions)
        return cls(config, space, conditions)

    def definition(self) -> dict[str, Any]:
        return {
            "sweep": self.config.model_dump(mode="json"),
            "space": self.space.model_dump(mode="json"),
        }

    @classmethod
    def from_definition(cls, definition: dict[str, Any]) -> "Sweep":
        config = parse_sweep(definition["sweep"], "ledger")
        return cls.prepare(config, SearchSpace.model_validate(definition["space"]))

    def records(self, ledger: Ledger) -> list[TrialRecord]:
        return ledger.records([(each.name, each.factors) for each in self.conditions])


def load_sweep(
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


@contextmanager
def naming(files: str) -> Iterator[None]:
    """A user's mistake that comes to light inside names the files that it is in."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{files}: {error}") from None


def open_sweep(home: Home, name: str, settings: Sequence[str] = ()) -> tuple[Sweep, Ledger]:
    """A sweep that was started before, to be read; with `settings` (field=value) put over it.

    UserError, with those there are, where there is none of this name.
    """
    ledger = read_ledger(home, name)
    if ledger is None:
        there = ", ".join(home.names()) or "none yet"
        raise UserError(f"no sweep {name!r} in {home.root / 'sweeps'}; there are: {there}")
    definition = ledger.definition
    raw = override_all(definition["sweep"], settings)
    return Sweep.from_definition({**definition, "sweep": raw}), ledger


def run_again(sweep: Sweep, ledger: Ledger, names: Sequence[str]) -> Sweep:
    """The sweep with these trials to be replicated, too; UserError where one did not complete."""
    there = [
        record.name
        for record in sweep.records(ledger)
        if record.kind == "search" and record.state == "complete"
    ]
    for name in names:
        if name not in there:
            raise UserError(
                f"--replicate {name!r}: no complete trial of sweep {sweep.config.name!r} has this "
                f"name; see those of its front with `noisetune best {sweep.config.name}`"
            )
    if not sweep.config.replicates:
        raise UserError(
            f"--replicate: sweep {sweep.config.name!r} has replicates: 0; say how many runs with "
            "--set replicates=5"
        )
    chosen = dict.fromkeys([*sweep.config.replicate, *names])
    definition = sweep.definition()
    return Sweep.from_definition(
        {**definition, "sweep": {**definition["sweep"], "replicate": list(chosen)}}
    )


def read_ledger(home: Home, name: str) -> Ledger | None:
    """The ledger of a sweep, for reading; None where no sweep of this name was begun."""
    file = home.ledger_file(name)
    if not NAME_RULE.match(name) or not file.is_file():
        return None
    ledger = Ledger(journal(file), name)
    return ledger if ledger.begun else None


def refuse_taken(home: Home, name: str) -> None:
    """UserError where a sweep of this name was begun."""
    if read_ledger(home, name) is not None:
        raise name_taken(name)


def drive_ledger(home: Home, sweep: Sweep, lease: Lease) -> Ledger:
    """The sweep's ledger for the driver that holds `lease`: a new one, or the one that is there.

    UserError where that was begun with other trials in mind.
    """
    name, definition = sweep.config.name, sweep.definition()
    storage = own_journal(home.ledger_file(name), lease)
    if not Ledger(storage, name).begun:
        Ledger.create(storage, name, definition)
    ledger = Ledger(storage, name, lambda other: journal(home.ledger_file(other)))
    if ledger.definition != definition:
        check_extension(ledger.definition, definition)
        ledger.redefine(definition)
    return ledger


def check_warm_start(home: Home, config: SweepConfig) -> None:
    """UserError for an earlier sweep that is not there, or that sought something else."""
    for name in config.warm_start:
        ledger = None if name == config.name else read_ledger(home, name)
        if ledger is None:
            there = ", ".join(each for each in home.names() if each != config.name) or "none yet"
            raise UserError(f"warm_start: no earlier sweep {name!r}; there are: {there}")
        wanted = config.objective.model_dump(mode="json")
        if (sought := ledger.definition["sweep"]["objective"]) != wanted:
            raise UserError(
                f"warm_start: {name!r} sought {sought['metric']} ({sought['direction']}): its "
                "values tell nothing of this objective; take it out, or give the same objective"
            )


def preflight(sweep: Sweep, store: StoreLike = NULL) -> None:
    """Refuse, before anything starts, data that cannot be read, a device that a trial does not
    have, labels that tell nothing, and encoders that are given and are not there or do not fit."""
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


def _check_grid(config: SweepConfig, conditions: Sequence[Condition]) -> None:
    if config.sampler.get("name") not in EXHAUSTIVE:
        return
    for condition in conditions:
        for field, parameter in condition.parameters.items():
            try:
                parameter.grid_values()
            except ValueError as error:
                raise UserError(f"parameters: {field}: {error}") from None


def _check_enqueued(config: SweepConfig, conditions: Sequence[Condition]) -> None:
    parameters = {name: each for there in conditions for name, each in there.parameters.items()}
    for values in config.enqueue:
        for field, value in values.items():
            if field not in parameters:
                known = ", ".join(parameters) or "there are none"
                raise UserError(f"enqueue: {field}: is no parameter of this sweep; those: {known}")
            if not parameters[field].takes(value):
                raise UserError(f"enqueue: {field}: {value!r} is not among the values it can take")

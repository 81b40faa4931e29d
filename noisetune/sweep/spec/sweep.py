"""A sweep: its configuration, its search space, and the conditions that these make."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from noisetune.errors import UserError
from noisetune.sweep.spec.comparisons import check_against, check_searched
from noisetune.sweep.spec.conditions import Condition, cross, validate, with_designs
from noisetune.sweep.spec.config import (
    SweepConfig,
    find_search_space,
    parse_sweep,
    read_sweep,
)
from noisetune.sweep.spec.drawn import with_drawn_settings
from noisetune.sweep.spec.exhaustive import check_settings
from noisetune.sweep.spec.factors import Settings
from noisetune.sweep.spec.overrides import override_all
from noisetune.sweep.spec.replaced import check_replaced
from noisetune.sweep.spec.space import SearchSpace, parse_space, read_space
from noisetune.texts import file_stems

GivenConfig = str | Path | Mapping[str, Any] | SweepConfig
GivenSpace = str | Path | Mapping[str, Any] | SearchSpace


@dataclass(frozen=True)
class Sweep:
    """A validated sweep with its conditions.

    `sources` are what it was read from, its own file first: what is wrong with it names them.
    """

    config: SweepConfig
    space: SearchSpace
    conditions: list[Condition]
    sources: tuple[str, ...] = ()

    @classmethod
    def read(
        cls,
        given: GivenConfig,
        space: GivenSpace | None = None,
        name: str | None = None,
        settings: Sequence[str] = (),
    ) -> "Sweep":
        """A sweep from its YAML file, or from a mapping or configuration and its search space.

        `space` takes the place of the one that a file names. `settings` (field=value) are put over
        what is given, and `name` too. UserError, naming the files, for all that is wrong.
        """
        config, source = _config(given, name, settings)
        if space is None and not isinstance(given, (str, Path)):
            raise UserError(
                "space: a sweep that is no file needs its search space beside it: a path, or a "
                "mapping of conditions and parameters"
            )
        if space is None:
            space = find_search_space(config.search_space, Path(source))
        searched, where = _space(space)
        with naming(source, where):
            return replace(cls.prepare(config, searched), sources=(source, where))

    @classmethod
    def prepare(cls, config: SweepConfig, space: SearchSpace) -> "Sweep":
        """Cross the conditions and build a trial at every corner; UserError for what is wrong."""
        conditions = cross(space, config.trial)
        if config.pretraining_designs is not None:
            conditions = with_designs(conditions, config.pretraining_designs, config.seed)
        if config.settings is not None:
            conditions = with_drawn_settings(conditions, config.settings, config.seed)
        for condition in conditions:
            check_replaced(condition)
        validate(conditions)
        if config.sampler_kind.exhaustive:
            for condition in conditions:
                check_settings(condition)
        _check_enqueued(config, conditions)
        check_against(config.comparisons, space.conditions)
        check_searched(config.replicates, any(each.parameters for each in conditions))
        return cls(config, space, conditions)

    def definition(self) -> dict[str, Any]:
        """The sweep and its space as JSON, as the ledger keeps them."""
        return {
            "sweep": self.config.model_dump(mode="json"),
            "space": self.space.model_dump(mode="json"),
        }

    @classmethod
    def from_definition(cls, definition: dict[str, Any], source: str = "the sweep") -> "Sweep":
        """The sweep of a definition; UserError, naming `source`, for what is not valid in it."""
        config = parse_sweep(definition["sweep"], source)
        return cls.prepare(config, parse_space(definition["space"], source))

    def written(self) -> dict[str, Path]:
        """The files and folders that its trials write, by field and condition."""
        trials = {each.name: each.trial(next(iter(each.corners()))) for each in self.conditions}
        return {
            f"condition {name}: {field}": path
            for name, trial in trials.items()
            for field, path in trial.written().items()
        }

    @property
    def cells(self) -> list[tuple[str, Settings]]:
        """Name and factors of each condition, as the ledger's records are asked for."""
        return [(each.name, each.factors) for each in self.conditions]

    @property
    def file_names(self) -> dict[str, str]:
        """A name for the files of each condition."""
        return file_stems([each.name for each in self.conditions])


@contextmanager
def naming(*sources: str) -> Iterator[None]:
    """A user's mistake that comes to light inside names the files that it is in."""
    try:
        yield
    except UserError as error:
        if not sources:
            raise
        raise UserError(f"{' with '.join(sources)}: {error}") from None


def _config(
    given: GivenConfig, name: str | None, settings: Sequence[str]
) -> tuple[SweepConfig, str]:
    """The configuration that is given, and what its mistakes are said to be in."""
    if isinstance(given, (str, Path)):
        return read_sweep(Path(given), name, settings), str(given)
    raw = given.model_dump(mode="json") if isinstance(given, SweepConfig) else given
    raw = {"search_space": "given"} | override_all(raw, settings)
    source = "the sweep"
    return parse_sweep(raw if name is None else raw | {"name": name}, source), source


def _space(given: GivenSpace) -> tuple[SearchSpace, str]:
    if isinstance(given, (str, Path)):
        return read_space(Path(given)), str(given)
    source = "the search space"
    return given if isinstance(given, SearchSpace) else parse_space(given, source), source


def _check_enqueued(config: SweepConfig, conditions: Sequence[Condition]) -> None:
    parameters = {
        name: parameter
        for condition in conditions
        for name, parameter in condition.parameters.items()
    }
    for values in config.enqueue:
        for field, value in values.items():
            if field not in parameters:
                known = ", ".join(parameters) or "there are none"
                raise UserError(f"enqueue: {field}: is no parameter of this sweep; those: {known}")
            if not parameters[field].takes(value):
                raise UserError(f"enqueue: {field}: {value!r} is not among the values it can take")

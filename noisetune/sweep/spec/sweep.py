"""A sweep: its configuration, its search space, and the conditions that these make."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from noisetune.errors import UserError
from noisetune.sweep.spec.conditions import Condition, cross, validate, with_designs
from noisetune.sweep.spec.config import SweepConfig, parse_sweep
from noisetune.sweep.spec.factors import Settings
from noisetune.sweep.spec.space import SearchSpace


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
        """The sweep and its space as JSON, as the ledger keeps them."""
        return {
            "sweep": self.config.model_dump(mode="json"),
            "space": self.space.model_dump(mode="json"),
        }

    @classmethod
    def from_definition(cls, definition: dict[str, Any]) -> "Sweep":
        """The sweep of a definition; UserError for what is not valid any more."""
        config = parse_sweep(definition["sweep"], "ledger")
        return cls.prepare(config, SearchSpace.model_validate(definition["space"]))

    @property
    def cells(self) -> list[tuple[str, Settings]]:
        """Name and factors of each condition, as the ledger's records are asked for."""
        return [(each.name, each.factors) for each in self.conditions]


@contextmanager
def naming(files: str) -> Iterator[None]:
    """A user's mistake that comes to light inside names the files that it is in."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{files}: {error}") from None


def _check_grid(config: SweepConfig, conditions: Sequence[Condition]) -> None:
    if not config.sampler_kind.exhaustive:
        return
    for condition in conditions:
        for field, parameter in condition.parameters.items():
            try:
                parameter.grid_values()
            except ValueError as error:
                raise UserError(f"parameters: {field}: {error}") from None


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

"""A search space file: the conditions to cross and the parameters that Optuna samples in each."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import Field, ValidationError, field_validator, model_validator

from noisetune.errors import UserError
from noisetune.section import Scalar, Section
from noisetune.selection import is_grouping
from noisetune.sweep.spec.factors import (
    Factor,
    Settings,
    check_apart,
    check_factor,
    check_field,
    check_shape,
    fields_of,
    settings_of,
)
from noisetune.yaml_files import explain, read_yaml

MOST_VALUES = 100_000
Values = Mapping[str, Scalar]


class Parameter(Section):
    """One parameter in Optuna's own words: `choices`, or `low` and `high` with `log` or `step`.

    It is an integer where `low`, `high` and `step` are written as integers.
    """

    choices: tuple[Scalar, ...] | None = None
    """The values to choose from."""
    low: int | float | None = None
    """The least value."""
    high: int | float | None = None
    """The largest value."""
    log: bool = False
    """Sample it evenly in its logarithm; not with `step`."""
    step: int | float | None = None
    """Sample only `low` and so many steps above it."""
    when: dict[str, Scalar | tuple[Scalar, ...]] = Field(default_factory=dict)
    """It is sampled where every field named here has the value, or one of the values, given."""

    @field_validator("choices")
    @classmethod
    def _differ(cls, choices: tuple[Scalar, ...] | None) -> Any:
        seen = dict[Scalar, Scalar]()
        for choice in choices or ():
            if choice in seen:
                raise ValueError(
                    f"{seen[choice]!r} and {choice!r} are the same choice twice; take one out"
                )
            seen[choice] = choice
        return choices

    @model_validator(mode="after")
    def _one_kind(self) -> "Parameter":
        ranged = self.low is not None and self.high is not None
        if (self.choices is not None) == ranged or (self.low is None) != (self.high is None):
            raise ValueError("give either choices, or both low and high")
        self.distribution()
        return self

    def distribution(self) -> BaseDistribution:
        """Optuna's distribution; ValueError for bounds that it does not take."""
        if self.choices is not None:
            return CategoricalDistribution(self.choices)
        assert self.low is not None
        assert self.high is not None
        if self._whole:
            return IntDistribution(int(self.low), int(self.high), self.log, int(self.step or 1))
        return FloatDistribution(self.low, self.high, self.log, self.step)

    @property
    def _whole(self) -> bool:
        return not any(isinstance(each, float) for each in (self.low, self.high, self.step))

    def takes(self, value: Scalar) -> bool:
        """Whether it could be drawn; true is no 1 here, and a text no number."""
        if self.choices is not None:
            truth = isinstance(value, bool)
            alike = [choice for choice in self.choices if isinstance(choice, bool) == truth]
            return value in alike
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        distribution = self.distribution()
        try:
            return distribution._contains(distribution.to_internal_repr(value))
        except (TypeError, ValueError):
            return False

    def holds(self, values: Values) -> bool:
        """Whether it is sampled in a trial that has these values."""
        return all(
            field in values and values[field] in allowed(wanted)
            for field, wanted in self.when.items()
        )

    def grid_values(self) -> tuple[Scalar, ...]:
        """What a grid crosses: the choices, or the range in its steps.

        ValueError where there are none to list, or more than MOST_VALUES.
        """
        if self.choices is not None:
            return self.choices
        assert self.low is not None
        assert self.high is not None
        step = self.step or (1 if self._whole else 0)
        if not step:
            raise ValueError("a sampler of every value needs choices, or a range with a step")
        count = int((self.high - self.low) / step + 1e-9) + 1
        if count > MOST_VALUES:
            raise ValueError(
                f"it has {count:,} values, and a sampler of every value lists at most "
                f"{MOST_VALUES:,}; give a larger step, or choose random or qmc"
            )
        return tuple(min(self.low + index * step, self.high) for index in range(count))

    def listed(self, value: Scalar) -> Scalar:
        """A value that it takes, as `grid_values` has it: a range's steps are rounded."""
        values = self.grid_values()
        if self.choices is not None:
            return values[self.choices.index(value)]
        return min(values, key=lambda each: abs(float(each or 0) - float(value or 0)))

    def few_values(self) -> tuple[Scalar, ...]:
        """Every value it can take; none where they are a continuum."""
        try:
            return self.grid_values()
        except ValueError:
            return ()

    def corners(self) -> tuple[Scalar, ...]:
        """The values that stand for all of them when a space is checked."""
        return self.choices if self.choices is not None else (self.low, self.high)


class SearchSpace(Section):
    """What is compared and what is searched. Fields are dotted paths of a trial: `finetune.lr`."""

    conditions: dict[str, Factor] = Field(default_factory=dict)
    """Crossed and compared, each cell searched by itself: a field with its values, or a word of
    one's own, without a dot, with named bundles of settings."""
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    """Sampled inside each condition, by their fields."""

    @field_validator("conditions", mode="before")
    @classmethod
    def _values_or_bundles(cls, conditions: Any) -> Any:
        if isinstance(conditions, Mapping):
            for name, written in conditions.items():
                check_shape(name, written)
        return conditions

    @field_validator("conditions")
    @classmethod
    def _each_set_once(cls, conditions: dict[str, Factor]) -> Any:
        for name, factor in conditions.items():
            check_factor(name, factor)
        check_apart(conditions)
        return conditions

    @field_validator("parameters")
    @classmethod
    def _nothing_that_makes_it_easier(cls, parameters: dict[str, Parameter]) -> Any:
        for field, parameter in parameters.items():
            for name in (field, *parameter.when):
                check_field(name)
            if is_grouping(field):
                raise ValueError(
                    f"{field}: a sampler free to choose it would choose the easiest data, and "
                    "trials on different data cannot be compared; put it under conditions"
                )
        return parameters

    @model_validator(mode="after")
    def _one_or_the_other(self) -> "SearchSpace":
        fixed = {field for each in self.conditions.items() for field in fields_of(*each)}
        twice = fixed & set(self.parameters)
        if twice:
            raise ValueError(
                f"{', '.join(sorted(twice))}: is both a condition and a parameter; take one out"
            )
        return self

    def cells(self) -> Iterator[tuple[Settings, Settings]]:
        """Every condition: the value of each factor, and all that these set in its trials."""
        for values in itertools.product(*self.conditions.values()):
            factors = dict(zip(self.conditions, values, strict=True))
            fixed: Settings = {}
            for name, value in factors.items():
                fixed |= settings_of(name, self.conditions[name], value)
            yield factors, fixed

    def ordered(self) -> dict[str, Parameter]:
        """The parameters, each after those that its `when` speaks of; UserError for a circle."""
        waiting, done = dict(self.parameters), dict[str, Parameter]()
        while waiting:
            ready = [
                field
                for field, parameter in waiting.items()
                if not any(other in waiting for other in parameter.when)
            ]
            if not ready:
                names = ", ".join(waiting)
                raise UserError(f"parameters: {names}: their `when` form a circle; break it")
            done |= {field: waiting.pop(field) for field in ready}
        return done


def allowed(wanted: Scalar | tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    """What a `when` allows: a value stands for a list of one."""
    return wanted if isinstance(wanted, tuple) else (wanted,)


def read_space(path: Path) -> SearchSpace:
    """The search space in a YAML file; UserError for anything wrong in it."""
    return parse_space(read_yaml(path), str(path))


def parse_space(raw: Any, source: str) -> SearchSpace:
    """A validated search space; UserError, naming `source`, for anything wrong in it."""
    try:
        return SearchSpace.model_validate(raw)
    except ValidationError as error:
        raise explain(error, source, SearchSpace) from None

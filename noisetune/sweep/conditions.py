"""Conditions: the cells of the comparison, and the trial configurations inside them."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from noisetune.config import PLUGINS, SELECTORS, TrialConfig, default_choice
from noisetune.errors import UserError
from noisetune.sweep.config import override
from noisetune.sweep.space import Parameter, Scalar, SearchSpace, allowed


@dataclass(frozen=True)
class Condition:
    """A value for every factor, and the parameters that are sampled there."""

    index: int
    factors: dict[str, Scalar]
    parameters: dict[str, Parameter]
    base: dict[str, Any]

    @cached_property
    def name(self) -> str:
        """Its factors in words, as tables, the ledger and MLflow show them."""
        return " ".join(f"{field}={value}" for field, value in self.factors.items()) or "all"

    @property
    def file_name(self) -> str:
        """A name for files, which cannot leave its folder."""
        return re.sub(r"[^A-Za-z0-9=._-]+", "_", self.name).strip("._-")

    def trial(self, values: Mapping[str, Scalar], replicate: int = 0) -> TrialConfig:
        """The trial with these sampled values; UserError where the whole is not valid."""
        raw = self.base
        for field, value in {**self.factors, **values}.items():
            raw = override(raw, field, value)
        shown = ", ".join(f"{field}={value}" for field, value in {**self.factors, **values}.items())
        return TrialConfig.parse(raw | {"replicate": replicate}, f"trial ({shown or 'fixed part'})")

    def active(self, values: Mapping[str, Scalar]) -> list[str]:
        """The parameters that are sampled once `values` are known."""
        known = {**self.known, **values}
        return [field for field, parameter in self.parameters.items() if parameter.holds(known)]

    @cached_property
    def known(self) -> dict[str, Scalar]:
        """Every value that is fixed here: a `when` may speak of any of them."""
        fixed = {
            f"{section}.{field}": value
            for section, content in self.base.items()
            if isinstance(content, dict)
            for field, value in content.items()
            if not isinstance(value, (dict, list))
        }
        chosen = {f"{section}.{key}": default_choice(section) for section, key in SELECTORS.items()}
        return chosen | fixed | self.factors

    def corners(self) -> Iterator[dict[str, Scalar]]:
        """Settings that reach each parameter's ends and choices, and each branch of a `when`."""
        deciding = [
            field
            for field in self.parameters
            if any(field in other.when for other in self.parameters.values())
        ]
        branches = itertools.product(*(self.parameters[field].corners() for field in deciding))
        for branch in branches:
            chosen = dict(zip(deciding, branch, strict=True))
            for pick in range(max(map(_corner_count, self.parameters.values()), default=1)):
                yield self._setting(chosen, pick)

    def _setting(self, chosen: Mapping[str, Scalar], pick: int) -> dict[str, Scalar]:
        values: dict[str, Scalar] = {}
        for field, parameter in self.parameters.items():
            if parameter.holds(self.known | values):
                corners = parameter.corners()
                values[field] = chosen.get(field, corners[min(pick, len(corners) - 1)])
        return values


def cross(space: SearchSpace, fixed: Mapping[str, Any]) -> list[Condition]:
    """All conditions of a space over the fixed part of a sweep, in the order of the file.

    A field of the fixed part that a condition's plug-in does not have is left out there; one that
    fits no condition is refused (UserError), and so is a `when` that can never hold.
    """
    parameters = space.ordered()
    cells = itertools.product(*space.conditions.values())
    conditions, unused = [], set(_plugin_fields(fixed))
    for index, cell in enumerate(cells):
        factors = dict(zip(space.conditions, cell, strict=True))
        base, dropped = _fitting(fixed, factors, parameters)
        unused &= dropped
        here = {
            field: parameter
            for field, parameter in parameters.items()
            if _may_hold(parameter, factors, parameters, base)
        }
        conditions.append(Condition(index, factors, here, base))
    if unused:
        raise UserError(
            f"trial: {', '.join(sorted(unused))}: no such field in any condition of this sweep"
        )
    _check_when(parameters, conditions)
    return conditions


def validate(conditions: list[Condition]) -> None:
    """Build the trials at every corner of every condition, so that nothing fails later."""
    for condition in conditions:
        for values in condition.corners():
            condition.trial(values)


def _plugin_fields(fixed: Mapping[str, Any]) -> list[str]:
    return [
        f"{section}.{field}"
        for section in SELECTORS
        if isinstance(fixed.get(section), dict)
        for field in fixed[section]
    ]


def _fitting(
    fixed: Mapping[str, Any], factors: Mapping[str, Scalar], parameters: Mapping[str, Parameter]
) -> tuple[dict[str, Any], set[str]]:
    """The fixed part without the fields that the condition's plug-ins do not have, and those."""
    base, dropped = dict(fixed), set()
    for section, selector in SELECTORS.items():
        content = base.get(section)
        path = f"{section}.{selector}"
        if not isinstance(content, dict) or path in parameters:
            continue
        choice = factors.get(path, content.get(selector, default_choice(section)))
        plugin = PLUGINS[section].get(str(choice))
        if plugin is None:
            continue
        kept = {key: value for key, value in content.items() if key in plugin.model_fields}
        dropped |= {f"{section}.{key}" for key in content if key not in kept}
        base[section] = kept
    return base, dropped


def _may_hold(
    parameter: Parameter,
    factors: Mapping[str, Scalar],
    parameters: Mapping[str, Parameter],
    base: Mapping[str, Any],
) -> bool:
    known = Condition(0, dict(factors), {}, dict(base)).known
    for field, wanted in parameter.when.items():
        if field in parameters:
            possible = parameters[field].choices
            if possible is not None and not set(possible) & set(allowed(wanted)):
                return False
            if not _may_hold(parameters[field], factors, parameters, base):
                return False
        elif known.get(field) not in allowed(wanted):
            return False
    return True


def _check_when(parameters: Mapping[str, Parameter], conditions: list[Condition]) -> None:
    for field, parameter in parameters.items():
        if not any(field in condition.parameters for condition in conditions):
            raise UserError(
                f"parameters: {field}: when {dict(parameter.when)!r} holds in no condition of this "
                "sweep; mend the `when`, or take the parameter out"
            )


def _corner_count(parameter: Parameter) -> int:
    return len(parameter.corners())

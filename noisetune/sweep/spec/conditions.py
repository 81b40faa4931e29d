"""Conditions: the cells of the comparison, and the trial configurations inside them."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from noisetune.config import PLUGINS, SELECTORS, TrialConfig, default_choice
from noisetune.errors import UserError
from noisetune.section import Scalar
from noisetune.ssl.base import SSLConfig
from noisetune.sweep.spec.designs import FIELD as DESIGN
from noisetune.sweep.spec.designs import METHOD, Designs, designed, draw_designs
from noisetune.sweep.spec.factors import Settings, check_field
from noisetune.sweep.spec.overrides import override
from noisetune.sweep.spec.space import Parameter, SearchSpace, allowed
from noisetune.texts import factors_text

EPOCHS = "pretrain.epochs"
SETTING = "setting"
"""The parameter that stands for all others where their settings are drawn once."""
MOST_MILESTONES = 20
MOST_CONDITIONS = 10_000


@dataclass(frozen=True)
class Condition:
    """A value for every factor, what these set, and the parameters that are sampled there.

    `factors` are what names and tables show, `fixed` the fields that a trial gets of them: the
    same, unless a factor's value is a bundle of settings.
    Where there are `designs`, the parameter `pretrain.design` stands for settings of them; where
    `settings` of all parameters are drawn once, `setting` is their number.
    """

    index: int
    factors: Settings
    fixed: Settings
    parameters: dict[str, Parameter]
    base: dict[str, Any]
    designs: Designs | None = None
    settings: tuple[dict[str, Scalar], ...] = ()

    @cached_property
    def name(self) -> str:
        """Its factors in words, as tables, the ledger and MLflow show them."""
        return factors_text(self.factors)

    def real_values(self, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Sampled values with the settings that a design, or a number, stands for in its place."""
        if SETTING in values:
            return dict(self.settings[int(values[SETTING] or 0)])
        real = {field: value for field, value in values.items() if field != DESIGN}
        if self.designs is None or DESIGN not in values:
            return real
        method = str({**self.known, **values}[METHOD])
        return self.designs.values(method, int(values[DESIGN] or 0)) | real

    def trial(self, values: Mapping[str, Scalar], replicate: int = 0) -> TrialConfig:
        """The trial with these sampled values; UserError where the whole is not valid."""
        raw, given = self.base, {**self.fixed, **self.real_values(values)}
        for field, value in given.items():
            raw = override(raw, field, value)
        named = {**self.factors, **given}.items()
        shown = ", ".join(f"{field}={value}" for field, value in named)
        return TrialConfig.parse(raw | {"replicate": replicate}, f"trial ({shown or 'fixed part'})")

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
        chosen = {
            f"{section}.{key}": default_choice(section, self.base)
            for section, key in SELECTORS.items()
        }
        return chosen | fixed | self.fixed

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
    if (count := math.prod(map(len, space.conditions.values()))) > MOST_CONDITIONS:
        raise UserError(
            f"conditions: these cross to {count:,} conditions, and a sweep has at most "
            f"{MOST_CONDITIONS:,}; give fewer values"
        )
    parameters = space.ordered()
    conditions, unused = [], set(_plugin_fields(fixed))
    for index, (factors, settings) in enumerate(space.cells()):
        base, dropped = _fitting(fixed, settings, parameters)
        unused &= dropped
        here = {
            field: parameter
            for field, parameter in parameters.items()
            if _may_hold(parameter, settings, parameters, base)
        }
        conditions.append(Condition(index, factors, settings, here, base))
    _refuse_unused(unused)
    _check_when(parameters, conditions)
    return conditions


def with_designs(conditions: Sequence[Condition], count: int, seed: int) -> list[Condition]:
    """The conditions with `count` designs of each method in place of its `pretrain.*` parameters.

    UserError where no condition has a parameter that a design could fix.
    """
    parameters = {field: value for each in conditions for field, value in each.parameters.items()}
    prefix = all(map(_epochs_are_prefixes, conditions))
    fixed = designed(parameters, prefix)
    if not fixed:
        raise UserError(
            "pretraining_designs: no pretrain.* parameter is sampled that a design could fix; "
            "leave it out"
        )
    compared = {field for each in conditions for field in each.fixed}
    _check_apart(fixed, parameters, {*parameters, *compared} - {METHOD})
    methods: dict[str, Mapping[str, Scalar]] = {}
    for each in conditions:
        chosen = each.parameters[METHOD].choices if METHOD in each.parameters else None
        for method in chosen or (each.known[METHOD],):
            methods.setdefault(str(method), each.known)
    designs = draw_designs(parameters, methods, count, seed, prefix)
    return [_with_designs(each, fixed, designs, count) for each in conditions]


def _epochs_are_prefixes(condition: Condition) -> bool:
    """Whether 10 epochs are the beginning of 50, whatever is sampled."""
    trials = (condition.trial(values) for values in condition.corners())
    methods = (trial.pretrain for trial in trials if isinstance(trial.pretrain, SSLConfig))
    return all(method.horizon_free for method in methods)


def _with_designs(
    condition: Condition, fixed: Mapping[str, Parameter], designs: Designs, count: int
) -> Condition:
    kept = {field: value for field, value in condition.parameters.items() if field not in fixed}
    methods = [
        method for method in designs.settings if METHOD in kept or method == condition.known[METHOD]
    ]
    if methods:
        choice = Parameter(choices=tuple(range(count)), when={METHOD: tuple(methods)})
        kept = kept | {DESIGN: choice}
    return replace(condition, parameters=kept, designs=designs)


def _check_apart(
    fixed: Mapping[str, Parameter], parameters: Mapping[str, Parameter], changing: set[str]
) -> None:
    """Designs are drawn once, before anything else is: UserError for a `when` across that line."""
    for field, parameter in parameters.items():
        for other in changing & set(parameter.when):
            if (field in fixed) != (other in fixed):
                raise UserError(
                    f"pretraining_designs: {field}: its `when` speaks of {other}, but only one of "
                    "the two is part of a design; take the `when` or pretraining_designs out"
                )


def milestones(conditions: Sequence[Condition]) -> tuple[int, ...]:
    """The pre-training epochs that trials of these conditions may want, where they are few."""
    wanted: set[int] = set()
    for condition in conditions:
        parameter = condition.parameters.get(EPOCHS)
        if parameter is None:
            known = condition.known.get(EPOCHS)
            wanted |= {known} if isinstance(known, int) else set()
        elif len(parameter.few_values()) <= MOST_MILESTONES:
            wanted |= {int(value or 0) for value in parameter.few_values()}
    return tuple(sorted(wanted))


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


def _refuse_unused(unused: set[str]) -> None:
    for field in sorted(unused):
        try:
            check_field(field)
        except ValueError as error:
            raise UserError(f"trial: {error}") from None
        raise UserError(
            f"trial: {field}: no such field in any condition of this sweep; take it out"
        )


def _fitting(
    fixed: Mapping[str, Any], settings: Mapping[str, Scalar], parameters: Mapping[str, Parameter]
) -> tuple[dict[str, Any], set[str]]:
    """The fixed part without the fields that the condition's plug-ins do not have, and those."""
    base, dropped = dict(fixed), set()
    for section, selector in SELECTORS.items():
        content = base.get(section)
        path = f"{section}.{selector}"
        if not isinstance(content, dict) or path in parameters:
            continue
        choice = settings.get(path, content.get(selector, default_choice(section, base)))
        plugin = PLUGINS[section].get(str(choice))
        if plugin is None:
            continue
        kept = {key: value for key, value in content.items() if key in plugin.model_fields}
        dropped |= {f"{section}.{key}" for key in content if key not in kept}
        base[section] = kept
    return base, dropped


def _may_hold(
    parameter: Parameter,
    settings: Mapping[str, Scalar],
    parameters: Mapping[str, Parameter],
    base: Mapping[str, Any],
) -> bool:
    known = Condition(0, {}, dict(settings), {}, dict(base)).known
    for field, wanted in parameter.when.items():
        if field in parameters:
            possible = parameters[field].choices
            if possible is not None and not set(possible) & set(allowed(wanted)):
                return False
            if not _may_hold(parameters[field], settings, parameters, base):
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

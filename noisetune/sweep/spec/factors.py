"""Factors of a comparison: values of one field, or named bundles of settings of several."""

import difflib
from collections.abc import Mapping
from typing import Any

from noisetune.config import PLUGINS, SELECTORS, TrialConfig
from noisetune.section import Scalar
from noisetune.selection import GROUPING, is_grouping

Settings = dict[str, Scalar]
Factor = tuple[Scalar, ...] | dict[str, Settings]
"""The values of the field that it is named after, or settings by the names of their bundles."""


def settings_of(name: str, factor: Factor, value: Any) -> Settings:
    """What a factor sets in a trial where it has this value."""
    return factor[value] if isinstance(factor, dict) else {name: value}


def fields_of(name: str, factor: Factor) -> set[str]:
    """Every field that a factor sets in some trial."""
    if not isinstance(factor, dict):
        return {name}
    return {field for settings in factor.values() for field in settings}


def check_shape(name: str, written: Any) -> None:
    """ValueError for what is neither a list of values nor bundles of settings, as YAML has it."""
    if isinstance(written, Mapping):
        for bundle, settings in written.items():
            _check_settings(name, bundle, settings)
    elif not isinstance(written, (list, tuple)):
        raise _misshapen(name, written)


def check_factor(name: str, factor: Factor) -> None:
    """ValueError, naming factor, bundle and field, for a factor that means nothing."""
    if isinstance(factor, dict):
        _check_bundles(name, factor)
        return
    check_field(name)
    if not factor or len(set(factor)) != len(factor):
        raise ValueError(f"{name}: {list(factor)}: a condition needs one or more different values")


def check_apart(factors: Mapping[str, Factor]) -> None:
    """ValueError for a field that two factors set, or one inside of another."""
    set_by: dict[str, str] = {}
    for name, factor in factors.items():
        for field in sorted(fields_of(name, factor)):
            for other, owner in set_by.items():
                if owner != name and _overlap(field, other):
                    raise ValueError(
                        f"{name}: {field}: the factor {owner} sets {other}; a field is set by one "
                        "factor, take it out of the other"
                    )
            set_by[field] = name


def check_field(field: str) -> None:
    """Raises ValueError, naming what there is, for a path that names no field of a trial."""
    head, _, rest = field.partition(".")
    if head in PLUGINS:
        known = {name for config in PLUGINS[head].values() for name in config.model_fields}
    elif head in TrialConfig.model_fields and rest:
        known = set(getattr(TrialConfig.model_fields[head].annotation, "model_fields", {}))
    else:
        known = set()
        rest = ""
    first = rest.split(".")[0]
    if first not in known:
        choices = [f"{head}.{name}" for name in sorted(known)] or [*SELECTORS]
        near = difflib.get_close_matches(field, choices, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(
            f"{field}: names no field of a trial; there are {', '.join(choices)}{hint}"
        )


def _check_bundles(name: str, bundles: Mapping[str, Settings]) -> None:
    if not name or any(sign in name for sign in ".= \n"):
        raise ValueError(
            f"{name}: a factor of bundles is named by a word of one's own, without a dot, such as "
            "`arm`"
        )
    if not bundles:
        raise ValueError(f"{name}: a condition needs one or more bundles")
    for bundle, settings in bundles.items():
        if not settings:
            raise ValueError(
                f"{name}.{bundle}: the bundle is empty; give it a field, or take it out"
            )
        for field in settings:
            _check_setting(name, bundle, field)
        alike = next(other for other in bundles if bundles[other] == settings)
        if alike != bundle:
            raise ValueError(f"{name}.{bundle}: sets what {alike} sets; take one of the two out")


def _check_setting(name: str, bundle: str, field: str) -> None:
    try:
        check_field(field)
    except ValueError as error:
        raise ValueError(f"{name}.{bundle}: {error}") from None
    if is_grouping(field) != (name in GROUPING):
        raise ValueError(
            f"{name}.{bundle}: {field}: only conditions of equal data and noise are compared: "
            "bundles of a factor named `data` or `noise` set data.* and noise.* fields, and "
            "nothing else does in bundles"
        )


def _check_settings(name: str, bundle: Any, settings: Any) -> None:
    _check_name(name, bundle)
    if not isinstance(settings, Mapping):
        raise _misshapen(f"{name}.{bundle}", settings)
    for field, value in settings.items():
        if not isinstance(value, Scalar):
            raise ValueError(f"{name}.{bundle}: {field}: {value!r}: a setting is one value")


def _misshapen(where: str, written: Any) -> ValueError:
    return ValueError(
        f"{where}: {written!r}: write a factor as a list of values, or as named bundles of "
        "settings, `name: {field: value}`"
    )


def _check_name(name: str, bundle: Any) -> None:
    usable = isinstance(bundle, str) and bundle.isprintable() and bundle.strip() == bundle != ""
    if not usable or "=" in bundle:
        raise ValueError(f"{name}: {bundle!r}: a bundle's name is a line of text without '='")


def _overlap(first: str, second: str) -> bool:
    shorter, longer = sorted((first, second), key=len)
    return longer == shorter or longer.startswith(f"{shorter}.")

"""Values of the fixed part that no trial has, because a condition or a parameter sets the field."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from noisetune.config import PLUGINS, SELECTORS, TrialConfig
from noisetune.errors import UserError
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.overrides import override
from noisetune.yaml_files import explain_fields


def check_replaced(condition: Condition) -> None:
    """UserError where such a value is none that its field takes: what is written there is meant."""
    given = {
        field: _value(condition.base, field) for field in (*condition.fixed, *condition.parameters)
    }
    replaced = {field for field, value in given.items() if value is not None}
    for section, key in SELECTORS.items():
        choice = given.get(f"{section}.{key}")
        if choice is not None and choice not in PLUGINS[section]:
            known = ", ".join(PLUGINS[section])
            raise UserError(f"trial: {section}.{key}: {choice!r} is unknown; choose one of {known}")
        if f"{section}.{key}" in condition.fixed:
            replaced.discard(f"{section}.{key}")
    if replaced:
        _validate(condition, replaced)


def _validate(condition: Condition, replaced: set[str]) -> None:
    raw: Mapping[str, Any] = condition.base
    for field, value in condition.fixed.items():
        if field not in replaced:
            raw = override(raw, field, value)
    try:
        TrialConfig.model_validate(raw)
    except ValidationError as error:
        wrong = explain_fields(error, "trial", TrialConfig, replaced)
        if wrong is not None:
            raise wrong from None


def _value(raw: Any, field: str) -> Any:
    for part in field.split("."):
        raw = raw.get(part) if isinstance(raw, dict) else None
    return raw

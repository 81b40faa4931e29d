"""Settings that are put over what a file says: values at dotted paths."""

from collections.abc import Mapping, Sequence
from typing import Any

from noisetune.errors import UserError
from noisetune.yaml_files import parse_yaml


def override_all(raw: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """`raw` with every setting, written as field=value, put over it."""
    for setting in settings:
        field, value = _field_and_value(setting)
        _check_sections(raw, field, f"--set {setting}")
        raw = override(raw, field, value)
    return dict(raw)


def _check_sections(raw: Any, path: str, source: str) -> None:
    """UserError where a part of a path has a value, so that nothing is inside of it."""
    parts = path.split(".")
    for depth, part in enumerate(parts[:-1], start=1):
        raw = raw.get(part)
        if raw is None:
            return
        if not isinstance(raw, dict):
            above = ".".join(parts[:depth])
            raise UserError(
                f"{source}: {above} is {raw!r} and has no fields; set it as a whole, "
                f"--set '{above}={{{parts[depth]}: ...}}'"
            )


def override(raw: Mapping[str, Any], field: str, value: Any) -> dict[str, Any]:
    """`raw` with the value at a dotted path replaced; what is no section there stays, wrong."""
    head, _, rest = field.partition(".")
    if not rest:
        return {**raw, head: value}
    inner = raw.get(head)
    if inner is not None and not isinstance(inner, dict):
        return dict(raw)
    return {**raw, head: override(inner or {}, rest, value)}


def _field_and_value(setting: str) -> tuple[str, Any]:
    field, equals, value = setting.partition("=")
    if not equals or not field:
        raise UserError(f"--set {setting}: write it as field=value, for example resources.gpu=0.25")
    return field, parse_yaml(value, f"--set {setting}")

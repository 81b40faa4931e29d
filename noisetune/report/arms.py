"""How conditions are laid out in figures: groups make panels, arms make lines."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from noisetune.analysis.summaries import ConditionSummary
from noisetune.analysis.tables import shown
from noisetune.selection import is_grouping

RATE, EPOCHS = "noise.rate", "pretrain.epochs"
PLAIN = ("pretrain.method", "arm", "sweep")
"""Factors whose values speak for themselves."""


@dataclass(frozen=True)
class Panel:
    """The conditions of one panel, in their order, each with the line that it is of."""

    title: str
    arms: Sequence[tuple[str, ConditionSummary]]


def arm_of(factors: Mapping[str, Any], apart: Sequence[str] = ()) -> str:
    """What is compared, in words: the factors beside data and noise, and beside those `apart`."""
    words = [
        shown(value) if name in PLAIN else f"{name.rsplit('.', 1)[-1]} {shown(value)}"
        for name, value in factors.items()
        if not is_grouping(name) and name not in apart
    ]
    return ", ".join(words) or "all"


def group_text(factors: Mapping[str, Any], apart: Sequence[str] = ()) -> str:
    """Data and noise, in words; nothing where the sweep has one of each."""
    return " ".join(
        f"{name}={shown(value)}"
        for name, value in factors.items()
        if is_grouping(name) and name not in apart
    )


def arms_of(summaries: Iterable[ConditionSummary], apart: Sequence[str] = ()) -> list[str]:
    """All arms, in their first order."""
    return list(dict.fromkeys(arm_of(each.factors, apart) for each in summaries))


def panels(summaries: Iterable[ConditionSummary], apart: Sequence[str] = ()) -> list[Panel]:
    """A panel for each data and noise, beside the factors that stand `apart`."""
    groups: dict[str, list[tuple[str, ConditionSummary]]] = {}
    for each in summaries:
        member = arm_of(each.factors, apart), each
        groups.setdefault(group_text(each.factors, apart), []).append(member)
    return [Panel(title, members) for title, members in groups.items()]


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def varies(summaries: Sequence[ConditionSummary], factor: str) -> bool:
    """Whether a factor is a number, and takes two values or more."""
    values = {each.factors.get(factor) for each in summaries}
    return len(values) > 1 and all(map(is_number, values))

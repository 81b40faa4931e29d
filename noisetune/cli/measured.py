"""What benchmarks measured, printed: figures, ratios with their intervals, what to beware of."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from noisetune.cli.common import console, print_table

if TYPE_CHECKING:
    from rich.table import Table

APART = {"ratios", "wide", "warning"}
"""What is not shown among the other figures."""


def show(figures: Mapping[str, Any], as_json: bool) -> None:
    """Print what was measured, as JSON or as tables for people."""
    if as_json:
        print(json.dumps(figures, indent=1))
        return
    parts = {name: value for name, value in figures.items() if _is_measurement(value)}
    print_table(_figures(figures, parts.keys()))
    for measured in (figures, *parts.values()):
        show_ratios(measured)


def show_ratios(measured: Mapping[str, Any]) -> None:
    """Print the ratios of a measurement, if it has any, and what to beware of."""
    if measured.get("ratios"):
        print_table(_ratios(measured["ratios"], measured["rounds"]))
    for line in _remarks(measured):
        console.print(line, highlight=False)


def show_arms(figures: Mapping[str, Any], arms: tuple[str, str], as_json: bool) -> None:
    """Print what two ways did, side by side, and the ratio of the first to the second."""
    if as_json:
        show(figures, as_json)
        return
    print_table(_arms(figures, arms))
    show_ratios(figures)


def _arms(figures: Mapping[str, Any], arms: tuple[str, str]) -> "Table":
    from noisetune.analysis.tables import plain_table

    first, second = (figures[arm] for arm in arms)
    table = plain_table("measured on this machine")
    for column in ("figure", *arms, "ratio"):
        table.add_column(column)
    for name, value in first.items():
        other = second[name]
        ratio = shown(value / other) if value is not None and other else "-"
        table.add_row(name, shown(value), shown(other), ratio)
    return table


def _is_measurement(value: Any) -> bool:
    return isinstance(value, dict) and "ratios" in value


def _figures(figures: Mapping[str, Any], apart: Any) -> "Table":
    from noisetune.analysis.tables import plain_table

    table = plain_table("measured on this machine")
    table.add_column("figure")
    table.add_column("value")
    for name, value in figures.items():
        if name not in APART | apart:
            table.add_row(name, shown(value))
    return table


def _ratios(ratios: Mapping[str, Any], rounds: int) -> "Table":
    from noisetune.analysis.tables import plain_table

    table = plain_table(f"ratios of seconds, median over {rounds} rounds")
    for column in ("ratio", "by the clock", "95 %", "in CPU time", "95 %"):
        table.add_column(column)
    for name, kinds in ratios.items():
        cells = (cell for kind in ("wall", "cpu") for cell in _estimate(kinds[kind]))
        table.add_row(name, *cells)
    return table


def _estimate(found: Mapping[str, Any]) -> tuple[str, str]:
    low, high = found["low"], found["high"]
    interval = "-" if low is None else f"{shown(low)}..{shown(high)}"
    return shown(found["ratio"]), interval


def _remarks(measured: Mapping[str, Any]) -> Iterator[str]:
    if measured.get("wide"):
        found = [each for kinds in measured["ratios"].values() for each in kinds.values()]
        few = "an interval takes six rounds: " if any(each["low"] is None for each in found) else ""
        yield (
            f"not known within {measured['within']:.0%}: {', '.join(measured['wide'])}; {few}"
            "give --seconds more, or a smaller setting"
        )
    if measured.get("warning"):
        yield f"warning: {measured['warning']}"


def shown(value: Any) -> str:
    """A figure, or several, with four digits."""
    if isinstance(value, list):
        return ", ".join(map(shown, value))
    if isinstance(value, dict):
        return ", ".join(f"{part} {shown(number)}" for part, number in value.items())
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)

"""Paired differences between conditions as a table, with what they establish in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from noisetune.analysis.statistics import Comparison
from noisetune.analysis.summaries import ConditionSummary
from noisetune.analysis.tables import CONDITIONAL, captioned, plain_table, shown

ALPHA = 0.05
EPOCHS = {
    "last": "the last epoch",
    "noisy_best": "the noisy-best epoch",
    "oracle": "the epoch best by clean test (oracle)",
}


def comparisons_table(
    summaries: Sequence[ConditionSummary],
    comparisons: Sequence[Comparison],
    choice: str = "noisy_best",
) -> Table:
    """Differences in clean test accuracy at a `choice` of epoch, and a verdict in the caption.

    `comparisons` are those that `compare` makes of the summaries for that choice.
    """
    table = plain_table(
        f"difference in clean test accuracy (points) at {EPOCHS[choice]}, paired by replicate"
    )
    table.add_column("where")
    table.add_column("difference of")
    for heading in ("mean", "95 % interval", "n", "p (Holm)"):
        table.add_column(heading, justify="right", no_wrap=True)
    of = {summary.name: summary for summary in summaries}
    shared = []
    for each in comparisons:
        gap = each.difference
        if gap.mean is None:
            continue
        conditional = [arm for arm in (of[each.a], of[each.b]) if arm.one_encoder]
        interval = ""
        if gap.low is not None and gap.high is not None:
            mark = CONDITIONAL if conditional else ""
            interval = f"{100 * gap.low:+.1f} .. {100 * gap.high:+.1f}{mark}"
            shared += conditional
        where, what = _contrast(of[each.a].factors, of[each.b].factors)
        table.add_row(where, what, f"{100 * gap.mean:+.1f}", interval, str(gap.n), _p(each))
    table.caption = captioned([verdict(summaries, comparisons)], shared)
    return table


def verdict(summaries: Sequence[ConditionSummary], comparisons: Sequence[Comparison]) -> str:
    """Which differences are not zero at 5 % after Holm's adjustment, in one line."""
    factors = {summary.name: summary.factors for summary in summaries}
    wheres: dict[str, list[str]] = {}
    for each in comparisons:
        if each.p_adjusted is None or each.p_adjusted >= ALPHA:
            continue
        above = (each.difference.mean or 0.0) > 0
        first, second = (each.a, each.b) if above else (each.b, each.a)
        where, what = _contrast(factors[first], factors[second], " above ")
        wheres.setdefault(what, []).append(where)
    if not wheres:
        return "no difference is established"
    parts = [
        f"{what} ({', '.join(where)})" if any(where) else what for what, where in wheres.items()
    ]
    return f"established at 5 % after Holm: {'; '.join(parts)}"


def _contrast(
    first: Mapping[str, Any], second: Mapping[str, Any], between: str = " - "
) -> tuple[str, str]:
    """What two conditions share, and the values in which they differ."""
    shared = [f"{key}={shown(value)}" for key, value in first.items() if second[key] == value]
    differing = [
        f"{shown(value)}{between}{shown(second[key])}"
        for key, value in first.items()
        if second[key] != value
    ]
    return " ".join(shared), " ".join(differing)


def _p(comparison: Comparison) -> str:
    if comparison.p_adjusted is None:
        return ""
    return "<.0001" if comparison.p_adjusted < 1e-4 else f"{comparison.p_adjusted:.4f}"

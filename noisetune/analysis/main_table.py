"""The table of a paper: accuracy at each choice of epoch, detection, and what is established."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from noisetune.analysis.cells import RULES, known_choices
from noisetune.analysis.metric_tables import metric_cell
from noisetune.analysis.question import Answer
from noisetune.analysis.summaries import ConditionSummary, best_of_groups
from noisetune.analysis.tables import (
    ADAPTIVE_NOTE,
    FEW_NOTE,
    NOT_REPLICATED,
    accuracy_cell,
    captioned,
    factor_cells,
    factor_columns,
    plain_table,
    points_text,
    shown,
)

DETECTION = {"detect/f1": "F1", "detect/auroc": "AUROC"}
BOLD = (
    "bold: established, at every look, to be above another condition of its group (`above`), at "
    "the epoch that the sweep asks about"
)
LEADS = (
    "leads: best by the noisy objective alone, or a tie with the best; other settings: so many of "
    "the search whose score is within the spread of the replicates"
)
RESOLUTION = (
    "resolution: standard error, in points of clean accuracy, of the noisy score that a method is "
    "chosen by, from the number of labels and their noise (at a clean accuracy of 80 %)"
)
NO_CHOICE = "a test at 5 % over all pairs does not tell ties apart"


def main_table(
    summaries: Sequence[ConditionSummary],
    found: Iterable[Answer],
    epoch: str,
    maximize: bool,
    adaptive: bool = False,
    resolutions: Mapping[str, float] | None = None,
) -> Table:
    """One row a condition; in bold the accuracy, at the `epoch` that is asked about, of those that
    are established to be above another one. `adaptive`: the sweep chose its number of replicates as
    it went. `resolutions`: by condition, the error of its noisy score in clean accuracy (0..1).
    """
    above = above_of(found, summaries)
    leads = _leads(summaries, maximize)
    columns = {
        metric: heading
        for metric, heading in DETECTION.items()
        if any(metric_cell(each, metric) for each in summaries)
    }
    choices = known_choices([(each.replicates, each.winner) for each in summaries])
    table = plain_table("clean test accuracy in %, and label errors found; over n replicates")
    factor_columns(table, summaries)
    for heading in ("n", *(RULES[choice] for choice in choices), *columns.values()):
        table.add_column(heading, justify="right")
    for heading in ("above", "leads", "other\nsettings"):
        table.add_column(heading)
    if resolutions:
        table.add_column("resolution", justify="right")
    for each in summaries:
        cells = [
            Text(accuracy_cell(each, choice), "bold" if each.name in above and choice == epoch
                 else "")
            for choice in choices
        ]  # fmt: skip
        detection = [metric_cell(each, metric) for metric in columns]
        ties = "" if each.ties is None else str(each.ties)
        over = "\n".join(above.get(each.name, {}).values())
        chosen = [over, leads.get(each.name, ""), ties]
        if resolutions:
            chosen.append(points_text(resolutions.get(each.name)))
        table.add_row(*factor_cells(each), str(len(each.runs)), *cells, *detection, *chosen)
    notes = [*_notes(summaries, bool(above), adaptive), *([RESOLUTION] if resolutions else [])]
    table.caption = captioned(notes, summaries)
    return table


def above_of(
    found: Iterable[Answer], summaries: Iterable[ConditionSummary]
) -> dict[str, dict[str, str]]:
    """By condition, which ones it is established to be above: by name, the values that differ."""
    factors = {each.name: each.factors for each in summaries}
    above: dict[str, dict[str, str]] = {}
    for each in found:
        if each.verdict is not None and each.verdict.claim is not None:
            pair = (each.fixed.a, each.fixed.b)
            upper, lower = pair if each.verdict.claim == "above" else pair[::-1]
            values = _apart(factors[upper], factors[lower])
            above.setdefault(upper, {})[lower] = values
    return above


def _apart(factors: Mapping[str, Any], others: Mapping[str, Any]) -> str:
    """The values of the others that are not those of `factors`."""
    return " ".join(shown(value) for name, value in others.items() if factors.get(name) != value)


def _leads(summaries: Sequence[ConditionSummary], maximize: bool) -> Mapping[str, str]:
    leads: dict[str, str] = {}
    for group in best_of_groups(summaries, maximize, {}):
        if len(group.best.replicate_objectives) > 1:
            leads[group.best.name] = "best"
            leads |= dict.fromkeys(group.ties, "tie")
    return leads


def _notes(summaries: Sequence[ConditionSummary], bold: bool, adaptive: bool) -> list[str]:
    replicated = any(each.runs for each in summaries)
    alone = any(each.winner is not None and not each.runs for each in summaries)
    return [
        *([FEW_NOTE] if replicated else []),
        *([ADAPTIVE_NOTE] if adaptive else []),
        *([BOLD] if bold else []),
        *([f"{LEADS}; {NO_CHOICE}"] if replicated else []),
        *([NOT_REPLICATED] if alone else []),
    ]

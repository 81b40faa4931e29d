"""Tables of any metrics by condition: detection, overfitting, telemetry."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from rich.table import Table

from noisetune.analysis.cells import CONDITIONAL, interval_text
from noisetune.analysis.statistics import Interval, mean_interval
from noisetune.analysis.summaries import ConditionSummary
from noisetune.analysis.tables import (
    ADAPTIVE_NOTE,
    captioned,
    factor_cells,
    factor_columns,
    plain_table,
)

_FLAGGED = {
    "f1": "F1",
    "f1_flag_all": "F1 of flag-all",
    "balanced_accuracy": "balanced accuracy",
    "error_rate": "realised rate",
}
_RANKED = {"auroc": "AUROC", "auprc": "AUPRC", "precision_at_k": "precision @K"}
_NOISE = {
    "rate_estimate": "rate estimate",
    "rate_error": "its error",
    "matrix_error": "matrix error",
    "matrix_distance": "matrix distance",
}


def _detected(prefix: str, names: Mapping[str, str]) -> dict[str, str]:
    return {f"detect/{prefix}{name}": heading for name, heading in names.items()}


GROUPS: dict[str, dict[str, dict[str, str]]] = {
    "detection": {
        "label errors flagged among the held-out labels": _detected("", _FLAGGED),
        "held-out labels ranked by suspicion": _detected("", _RANKED),
        "noise of the held-out labels, estimated": _detected("", _NOISE),
        "label errors flagged among the training labels": _detected("cv_", _FLAGGED),
        "training labels ranked by suspicion": _detected("cv_", _RANKED),
        "noise of the training labels, estimated": _detected("cv_", _NOISE),
    },
    "overfitting": {
        "overfitting to the noisy labels": {
            "test/loss_escalation": "loss escalation",
            "test/overfits": "overfits (share)",
            "epoch_at_oracle": "peak epoch",
        },
        "what it costs": {
            "test/accuracy_drop": "drop from peak",
            "detect/memorisation_at_last": "memorisation at last",
            "detect/memorisation_at_noisy_best": "memorisation at noisy best",
        },
    },
    "telemetry": {
        "geometry of the encoder": {
            "pretrain/rankme_at_pretrained": "RankMe",
            "pretrain/alignment_at_pretrained": "alignment",
            "pretrain/uniformity_at_pretrained": "uniformity",
            "pretrain/feature_deviation_at_pretrained": "deviation",
        },
        "what the encoder tells of the noisy labels": {
            "pretrain/knn_at_pretrained": "kNN",
            "pretrain/probe_at_pretrained": "linear probe",
        },
        "what the encoder tells of the clean labels": {
            "test/knn_at_pretrained": "kNN",
            "test/probe_at_pretrained": "linear probe",
            "test/separation_at_pretrained": "separation",
        },
    },
}
"""By what they are about, the tables (title -> metric -> heading); each fits 80 columns."""


def metric_values(summary: ConditionSummary, metric: str) -> list[float]:
    """Of the replicates that have the metric: what is undefined there is left out."""
    values = (record.metrics.get(metric) for record in summary.runs)
    return [value for value in values if value is not None and math.isfinite(value)]


def metric_interval(summary: ConditionSummary, metric: str) -> Interval:
    """The mean over the replicates that have the metric."""
    return mean_interval(metric_values(summary, metric))


def metric_intervals(summary: ConditionSummary, metrics: Iterable[str]) -> dict[str, Interval]:
    """By metric, of those that a replicate has."""
    intervals = {metric: metric_interval(summary, metric) for metric in metrics}
    return {metric: interval for metric, interval in intervals.items() if interval.n}


def metrics_of(group: str) -> list[str]:
    """The metrics in the tables of a group."""
    return [metric for metrics in GROUPS[group].values() for metric in metrics]


def metric_tables(
    summaries: Sequence[ConditionSummary], group: str, adaptive: bool = False
) -> Iterator[Table]:
    """The tables of a group, without metrics that no condition has, and without empty ones.

    `adaptive`: the sweep chose its number of replicates as it went.
    """
    for title, metrics in GROUPS[group].items():
        shown_metrics = {
            metric: heading
            for metric, heading in metrics.items()
            if any(metric_cell(summary, metric) for summary in summaries)
        }
        if shown_metrics:
            yield metric_table(summaries, title, shown_metrics, adaptive)


def metric_table(
    summaries: Sequence[ConditionSummary],
    title: str,
    metrics: Mapping[str, str],
    adaptive: bool = False,
) -> Table:
    """One row a condition, one column for each of `metrics` (name -> heading)."""
    rows = [Row(each, (), [metric_cell(each, metric) for metric in metrics]) for each in summaries]
    return table_of(rows, title, (), list(metrics.values()), adaptive)


class Row(NamedTuple):
    """Of a condition, or of something in it that has the `names`: cells of figures."""

    summary: ConditionSummary
    names: Sequence[str]
    cells: Sequence[str]


def table_of(
    rows: Sequence[Row],
    title: str,
    names: Sequence[str],
    headings: Sequence[str],
    adaptive: bool = False,
) -> Table:
    """Rows, one or more, with a heading for each of their names and of their figures."""
    table = plain_table(f"{title}; mean and 95 % interval over n replicates")
    notes = ["(in brackets: the search trial that won)"] if _bracketed(rows) else []
    notes += [ADAPTIVE_NOTE] if adaptive else []
    marked = [row.summary for row in rows if any(CONDITIONAL in cell for cell in row.cells)]
    table.caption = captioned(notes, marked) or None
    factor_columns(table, [row.summary for row in rows])
    for heading in names:
        table.add_column(heading)
    table.add_column("n", justify="right", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        runs = str(len(row.summary.runs))
        table.add_row(*factor_cells(row.summary), *row.names, runs, *row.cells)
    return table


def _bracketed(rows: Iterable[Row]) -> bool:
    return any(cell.startswith("(") for row in rows for cell in row.cells)


def metric_cell(summary: ConditionSummary, metric: str) -> str:
    """Mean and interval over the replicates; in brackets the winner's where none ran.

    Where some of the replicates lack the metric, how many have it.
    """
    interval = metric_interval(summary, metric)
    if interval.mean is None:
        value = summary.winner.metrics.get(metric) if summary.winner and not summary.runs else None
        return "" if value is None else f"({value:.{_decimals(value)}f})"
    cell = interval_text(
        interval, _decimals(interval.mean), CONDITIONAL if summary.one_encoder else ""
    )
    return cell if interval.n == len(summary.runs) else f"{cell}\n(n {interval.n})"


def _decimals(value: float) -> int:
    """What suits a number of this size."""
    return 3 if abs(value) < 2 else 2 if abs(value) < 10 else 1

"""The detectors that looked at the trials of a sweep, side by side."""

import re
from collections.abc import Iterator, Sequence

from rich.table import Table

from noisetune.analysis.metric_tables import Row, metric_cell, metric_intervals, table_of
from noisetune.analysis.statistics import Interval
from noisetune.analysis.summaries import ConditionSummary

SCORES = {"auroc": "AUROC", "auprc": "AUPRC", "precision_at_k": "precision @K", "f1": "F1"}
PARTS = {"": "held-out", "cv_": "training"}
"""What stands before the scores of a part of the labels."""
FURTHER = re.compile(r"detect/(.+/)(?:cv_)?auroc")


def detectors_of(summary: ConditionSummary) -> dict[str, str]:
    """What stands before the scores of each detector that looked at a condition's trials, and its
    name; the scores of the first one have plain names, and its method says which it is."""
    trials = summary.runs or ([summary.winner] if summary.winner is not None else [])
    found = {}
    for trial in trials:
        if "detect/auroc" in trial.metrics or "detect/f1" in trial.metrics:
            found[""] = trial.config.get("detect", {}).get("method", "confident_learning")
        further = (FURTHER.fullmatch(metric) for metric in trial.metrics)
        found |= {match[1]: match[1].rstrip("/") for match in further if match is not None}
    return found


def detector_tables(
    summaries: Sequence[ConditionSummary], adaptive: bool = False
) -> Iterator[Table]:
    """A table for the held-out labels and one for those of training, as far as there are scores;
    none where a single detector looked at all conditions, which the tables of detection show.

    `adaptive`: the sweep chose its number of replicates as it went.
    """
    for part, where in PARTS.items():
        rows = list(_rows(summaries, part))
        if len({name for row in rows for name in row.names}) > 1:
            title = f"detectors of errors among the {where} labels"
            yield table_of(rows, title, ("detector",), list(SCORES.values()), adaptive)


def detector_scores(summary: ConditionSummary) -> dict[str, dict[str, Interval]]:
    """By detector, of the scores that a replicate has; `cv_...` are of the training labels."""
    names = [part + score for part in PARTS for score in SCORES]
    found = {}
    for prefix, detector in detectors_of(summary).items():
        intervals = metric_intervals(summary, [f"detect/{prefix}{name}" for name in names])
        start = f"detect/{prefix}"
        found[detector] = {key.removeprefix(start): each for key, each in intervals.items()}
    return found


def _rows(summaries: Sequence[ConditionSummary], part: str) -> Iterator[Row]:
    for summary in summaries:
        for prefix, detector in detectors_of(summary).items():
            cells = [metric_cell(summary, f"detect/{prefix}{part}{score}") for score in SCORES]
            if any(cells):
                # So that a long name can be broken between its words.
                yield Row(summary, (detector.replace("_", " "),), cells)

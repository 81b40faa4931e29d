"""Files of the trials that matter, the winners and their replicates, as artifacts of their runs.

They are written when a sweep ends: of a thousand trials few are looked at so closely.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from noisetune.analysis.trial_figures import Curves, confusion_figure, curves_figure
from noisetune.analysis.trial_tables import Row, confusion_rows, confusions, issue_rows
from noisetune.files import replace_file
from noisetune.predictions import Predictions
from noisetune.records import FINETUNE, TrialRecord
from noisetune.selection import Choice
from noisetune.sweep.winners import AnySweep, chosen_trials
from noisetune.texts import csv_text, file_stem
from noisetune.tracking.messages import Message
from noisetune.tracking.tracker import Tracker

FOLDER = "trials"
CHOICE: Choice = "noisy_best"
"""The epoch that confusion and label errors are of: the one that no clean label chose."""


@dataclass
class Told:
    """What was told of some trials: their curves by trial, and their files (trial, path)."""

    curves: dict[str, dict[str, dict[int, float]]] = field(default_factory=dict)
    files: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def of(cls, messages: Iterable[Message], trials: Iterable[str]) -> "Told":
        found, wanted = cls(), set(trials)
        for each in messages:
            trial = each.get("trial", "")
            if trial in wanted and each["kind"] == "file":
                found.files.add((trial, each["path"]))
            elif trial in wanted and each["kind"] == "point" and each.get("stage") == FINETUNE:
                curves = found.curves.setdefault(trial, {})
                for name, value in each["values"].items():
                    if value is not None:
                        curves.setdefault(name, {})[each["step"]] = value
        return found


def looked_at_closely(sweep: AnySweep, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The winners, and the replicates of their conditions that ended."""
    chosen = {each.name for each in chosen_trials(sweep, records).values()}
    return [
        each
        for each in records
        if each.name in chosen or (each.kind == "replicate" and each.counts)
    ]


def trial_files(
    curves: Curves,
    predictions: Predictions | None,
    class_names: Sequence[str],
    figures: bool = True,
) -> dict[str, bytes]:
    """The files of a trial by name, those that there is something for.

    Without `figures` they are tables alone: to draw takes half a second a trial.
    """
    files: dict[str, bytes] = {}
    if curves:
        rows = [("metric", "epoch", "value"), *_curve_rows(curves)]
        files["curves.csv"] = _csv(rows)
    if figures and (figure := curves_figure(curves)) is not None:
        files["curves.png"] = figure
    if predictions is not None and CHOICE in predictions.predicted:
        matrices = confusions(predictions, CHOICE, len(class_names))
        files["confusion.csv"] = _csv(confusion_rows(matrices, class_names))
        if figures:
            files["confusion.png"] = confusion_figure(matrices, class_names)
        if issues := list(issue_rows(predictions, CHOICE, class_names)):
            files["label_issues.csv"] = _csv(issues)
    return files


def publish_files(
    tracker: Tracker,
    folder: Path,
    trial: TrialRecord,
    files: Mapping[str, bytes],
) -> None:
    """Write a trial's files below the `folder` of its sweep, and tell of them."""
    stem = file_stem(trial.name)
    place = folder / FOLDER / stem
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        replace_file(place / name, content)
        tracker.file(name, f"{FOLDER}/{stem}/{name}", trial.name)


def _curve_rows(curves: Curves) -> Iterator[Row]:
    for name, values in curves.items():
        for epoch in sorted(values):
            yield name, epoch, values[epoch]


def _csv(rows: Iterable[Row]) -> bytes:
    return csv_text(rows).encode()

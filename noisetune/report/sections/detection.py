"""How well wrong labels are found, and how far a network's certainty can be believed."""

from collections.abc import Callable, Iterable

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from noisetune.analysis.detectors import detector_tables
from noisetune.analysis.metric_tables import metric_tables
from noisetune.predictions import Predictions
from noisetune.records import TrialRecord
from noisetune.report.arms import arms_of, panels
from noisetune.report.contents import Drawing, Section
from noisetune.report.means import BANDS, draw_band
from noisetune.report.style import PALE, grid_of, legend, looks
from noisetune.report.view import SweepView
from noisetune.selection import Choice

RECALLS = np.linspace(0.02, 1.0, 50)
BINS, FEWEST_IN_BIN = 10, 10
Points = list[tuple[float, float]]
FOUND = (
    "Read how many of the labels that {detector} calls wrong are (precision), where so many of all "
    f"wrong ones are found (recall); the dotted line is that of a guess. {BANDS}"
)
BELIEVED = (
    "Read how often a network that is so sure is right: below the dotted line it is too sure of "
    "itself. At the epoch that the sweep asks about; bins with fewer than ten images are left out."
)


def detection(view: SweepView) -> Section | None:
    """Tables of detectors and of what the first flagged; precision and recall; calibration."""
    if view.several:
        return None
    asked = (view.summaries, view.question.adaptive)
    compared = {f"detectors-{n}": table for n, table in enumerate(detector_tables(*asked), 1)}
    made = metric_tables(view.summaries, "detection", view.question.adaptive)
    tables = compared | {f"detection-{number}": table for number, table in enumerate(made, 1)}
    detectors = dict.fromkeys(
        name for run in _runs(view) for name in view.predictions[run.name].scores
    )
    found = [_found(view, detector) for detector in detectors]
    drawings = [each for each in [*found, _calibration(view)] if each is not None]
    if not tables and not drawings:
        return None
    return Section("Label errors and calibration", drawings=drawings, tables=tables)


def precisions(wrong: NDArray[np.bool_], scores: NDArray[np.floating]) -> Points:
    """Precision, in %, where so many of all wrong labels (%) have been found; by falling score.

    Empty where no label is wrong, or all are.
    """
    if wrong.all() or not wrong.any():
        return []
    order = np.argsort(-scores, kind="stable")
    hits = wrong[order].cumsum()
    needed = np.searchsorted(hits, np.ceil(RECALLS * hits[-1] - 1e-9))
    return [
        (100 * float(recall), 100 * float(hits[place] / (place + 1)))
        for recall, place in zip(RECALLS, needed, strict=True)
    ]


def reliability(probability: NDArray[np.floating], correct: NDArray[np.bool_]) -> Points:
    """How often (%) images are taken for what they are, by how sure (%) the network is."""
    bins = np.minimum((probability.astype(np.float64) * BINS).astype(int), BINS - 1)
    members = [bins == number for number in range(BINS)]
    return [
        (100 * (number + 0.5) / BINS, 100 * float(correct[mine].mean()))
        for number, mine in enumerate(members)
        if mine.sum() >= FEWEST_IN_BIN
    ]


def _runs(view: SweepView) -> list[TrialRecord]:
    runs = (run for each in view.summaries for run in view.again(each))
    return [run for run in runs if run.name in view.predictions]


def _found(view: SweepView, detector: str) -> Drawing | None:
    def curve(kept: Predictions) -> Points:
        true = kept.given_true
        if true is None or detector not in kept.scores:
            return []
        return precisions(kept.given != true, kept.scores[detector])

    reads = FOUND.format(detector=detector.replace("_", " "))
    return _drawing(view, curve, f"detection-{detector}", ("recall (%)", "precision (%)"), reads)


def _calibration(view: SweepView) -> Drawing | None:
    epoch: Choice = view.question.epoch

    def curve(kept: Predictions) -> Points:
        if epoch not in kept.probability:
            return []
        return reliability(kept.probability[epoch], kept.correct(epoch))

    return _drawing(view, curve, "calibration", ("sure (%)", "right (%)"), BELIEVED)


def _drawing(
    view: SweepView,
    curve: Callable[[Predictions], Points],
    name: str,
    labels: tuple[str, str],
    reads: str,
) -> Drawing | None:
    """A panel for each data and noise; None where no run has such a curve."""
    points = {run.name: curve(view.predictions[run.name]) for run in _runs(view)}
    runs = [run for run in _runs(view) if points[run.name]]
    if not runs:
        return None
    drawn, count = panels(view.summaries), [0]
    look = looks(arms_of(view.summaries))
    figure, axes = grid_of(len(drawn), height=2.3, sharey=True)
    for ax, panel in zip(axes, drawn, strict=True):
        for arm, each in panel.arms:
            mine = [points.get(run.name, []) for run in view.again(each)]
            draw_band(ax, mine, arm, look[arm], count)
        _guess(ax, name, [run for _, each in panel.arms for run in view.again(each)], view)
        ax.set(title=panel.title, xlabel=labels[0], xlim=(0, 100), ylim=(0, 102))
    axes[0].set_ylabel(labels[1])
    legend(figure, look)
    alt = f"{labels[1]} against {labels[0]} for {', '.join(look)}."
    return Drawing(name, figure, reads, alt, runs)


def _guess(ax: Axes, name: str, runs: Iterable[TrialRecord], view: SweepView) -> None:
    """What one would see of a guess: the share of wrong labels, or certainty that holds."""
    if name == "calibration":
        ax.plot([0, 100], [0, 100], color=PALE, ls=":", lw=1.2)
        return
    kept = [view.predictions[run.name] for run in runs if run.name in view.predictions]
    known = [(each.given, each.given_true) for each in kept if each.given_true is not None]
    shares = [(given != true).mean() for given, true in known]
    if shares:
        ax.axhline(100 * float(np.mean(shares)), color=PALE, ls=":", lw=1.2)

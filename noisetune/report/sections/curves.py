"""What happens while networks are fine-tuned, epoch by epoch."""

from collections.abc import Sequence

from noisetune.report.arms import Panel, arms_of, panels
from noisetune.report.contents import Drawing, Section
from noisetune.report.means import BANDS, draw_band
from noisetune.report.style import grid_of, legend, looks, over_epochs
from noisetune.report.view import SweepView

METRICS = {
    "test/accuracy": "clean accuracy (%)",
    "val/accuracy": "noisy accuracy (%)",
    "train/loss": "training loss",
    "test/loss": "clean test loss",
    "train/changed_predictions": "predictions changed (%)",
    "detect/memorisation": "memorised (%)",
}
IN_PERCENT = ("test/accuracy", "val/accuracy", "train/changed_predictions", "detect/memorisation")
READS = (
    "Read where the clean accuracy turns while the share of wrong labels that are memorised rises: "
    f"from there on a network learns the mistakes. {BANDS}"
)


def curves(view: SweepView) -> Section | None:
    """A row for each metric, a panel for each data and noise; a figure for three of these."""
    groups = panels(view.summaries)
    metrics = [metric for metric in METRICS if _has(view, groups, metric)]
    if not metrics:
        return None
    parts = [groups[start : start + 3] for start in range(0, len(groups), 3)]
    return Section(
        "Fine-tuning",
        drawings=[
            _drawing(view, part, metrics, "" if len(parts) == 1 else f"-{number}")
            for number, part in enumerate(parts, 1)
        ],
    )


def _has(view: SweepView, groups: Sequence[Panel], metric: str) -> bool:
    return any(
        view.curves.get(run.name, {}).get(metric)
        for panel in groups
        for _, each in panel.arms
        for run in view.again(each)
    )


def _drawing(view: SweepView, part: Sequence[Panel], metrics: Sequence[str], end: str) -> Drawing:
    look, count = looks(arms_of(view.summaries)), [0]
    columns = len(part)
    figure, axes = grid_of(len(metrics) * columns, columns, height=1.75, sharex="col")
    for row, metric in enumerate(metrics):
        for column, panel in enumerate(part):
            ax = axes[row * columns + column]
            scale = 100.0 if metric in IN_PERCENT else 1.0
            for arm, each in panel.arms:
                mine = [view.curves.get(run.name, {}).get(metric, ()) for run in view.again(each)]
                draw_band(ax, mine, arm, look[arm], count, scale)
            if column == 0:
                ax.set_ylabel(METRICS[metric])
            if row == 0:
                ax.set_title(panel.title)
            if row == len(metrics) - 1:
                over_epochs(ax, "epoch of fine-tuning")
    legend(figure, look)
    runs = [run for panel in part for _, each in panel.arms for run in view.again(each)]
    alt = f"By epoch of fine-tuning: {', '.join(METRICS[metric] for metric in metrics)}."
    return Drawing(f"fine-tuning{end}", figure, READS, alt, runs)

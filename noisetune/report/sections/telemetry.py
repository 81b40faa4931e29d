"""What was seen of the encoders, while they were pre-trained and before they were fine-tuned."""

from collections.abc import Sequence

from noisetune.analysis.metric_tables import metric_tables
from noisetune.report.arms import arm_of, arms_of
from noisetune.report.contents import Drawing, Section
from noisetune.report.means import BANDS, draw_band
from noisetune.report.style import grid_of, legend, looks, over_epochs
from noisetune.report.view import Curve, SweepView

LOSS = "pretrain/loss"
METRICS = {
    LOSS: "loss of pre-training",
    "pretrain/rankme": "RankMe",
    "pretrain/alignment": "alignment",
    "pretrain/uniformity": "uniformity",
    "pretrain/feature_deviation": "feature deviation",
    "pretrain/knn": "kNN, noisy labels",
    "pretrain/probe": "probe, noisy labels",
    "test/knn": "kNN, clean labels",
    "test/probe": "probe, clean labels",
    "test/separation": "separation",
}
READS = (
    "Read whether an encoder still learns when pre-training ends, and whether it collapses (RankMe "
    "or deviation near their lowest). Replicates of all noise rates stand together; losses of "
    f"different methods do not compare. {BANDS}"
)


def telemetry(view: SweepView) -> Section | None:
    """Tables of the encoders that were fine-tuned, and a panel for each metric by epoch."""
    made = metric_tables(view.summaries, "telemetry", view.question.adaptive)
    tables = {f"telemetry-{number}": table for number, table in enumerate(made, 1)}
    drawing = _by_epoch(view)
    if not tables and drawing is None:
        return None
    return Section("Encoders", drawings=[drawing] if drawing else [], tables=tables)


def _by_epoch(view: SweepView) -> Drawing | None:
    known = {metric: found for metric in METRICS if (found := _curves(view, metric))}
    if not known:
        return None
    look, count = looks(arms_of(view.summaries)), [0]
    arms = dict.fromkeys(arm for found in known.values() for arm in found)
    figure, axes = grid_of(len(known), height=1.9)
    for ax, (metric, found) in zip(axes, known.items(), strict=True):
        for arm, mine in found.items():
            draw_band(ax, mine, arm, look[arm], count)
        ax.set_title(METRICS[metric])
        over_epochs(ax, "epoch of pre-training")
        if metric == LOSS and min(y for mine in found.values() for c in mine for _, y in c) > 0:
            ax.set_yscale("log")
    legend(figure, {arm: look[arm] for arm in arms})
    runs = [run for each in view.summaries for run in view.again(each) if _any(view, run.name)]
    alt = f"By epoch of pre-training: {', '.join(METRICS[metric] for metric in known)}."
    return Drawing("pre-training", figure, READS, alt, runs)


def _curves(view: SweepView, metric: str) -> dict[str, list[Curve]]:
    """By arm, those of more than one epoch."""
    found: dict[str, list[Curve]] = {}
    for each in view.summaries:
        for run in view.again(each):
            curve = view.curves.get(run.name, {}).get(metric, ())
            if len(curve) > 1:
                found.setdefault(arm_of(each.factors), []).append(curve)
    return found


def _any(view: SweepView, run: str, metrics: Sequence[str] = tuple(METRICS)) -> bool:
    return any(len(view.curves.get(run, {}).get(metric, ())) > 1 for metric in metrics)

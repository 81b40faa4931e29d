"""Accuracy against how long an encoder was pre-trained."""

from noisetune.records import TrialRecord
from noisetune.report.arms import EPOCHS, arm_of, arms_of, group_text, is_number, panels, varies
from noisetune.report.contents import Drawing, Section
from noisetune.report.means import BARS, accuracies_of, draw_means
from noisetune.report.style import grid_of, legend, looks, marked
from noisetune.report.view import SweepView

CHOSEN = (
    "Read where more pre-training stops to help. Each point is a search trial, at the epoch that "
    "its noisy validation labels chose: a look at one seed, no estimate."
)
COMPARED = f"Read where more pre-training stops to help. {BARS}"
CLEAN = "test/accuracy_at_noisy_best"


def pretraining_epochs(view: SweepView) -> Section | None:
    """Over the epochs that are compared, or over those that were searched."""
    if varies([each for each in view.summaries if EPOCHS in each.factors], EPOCHS):
        drawing = _compared(view)
    else:
        drawing = _searched(view)
    if drawing is None:
        return None
    return Section("Accuracy against pre-training", drawings=[drawing])


def _compared(view: SweepView) -> Drawing | None:
    epoch = view.question.epoch
    known = [
        each for each in view.summaries if EPOCHS in each.factors and accuracies_of(each, epoch)
    ]
    if not known:
        return None
    drawn, look, count = panels(known, (EPOCHS,)), looks(arms_of(known, (EPOCHS,))), [0]
    figure, axes = grid_of(len(drawn), height=2.5)
    for ax, panel in zip(axes, drawn, strict=True):
        places = {each.name: float(each.factors[EPOCHS]) for _, each in panel.arms}
        draw_means(ax, panel, places, look, epoch, count)
        ax.set(title=panel.title, xlabel="epochs of pre-training")
    axes[0].set_ylabel("clean test accuracy (%)")
    legend(figure, look)
    runs = [run for each in known for run in view.again(each)]
    alt = "Clean test accuracy against epochs of pre-training, a panel for each data and noise."
    return Drawing("accuracy-by-pretraining", figure, COMPARED, alt, runs)


def _searched(view: SweepView) -> Drawing | None:
    points: dict[str, dict[str, list[TrialRecord]]] = {}
    for each in view.records:
        clean = each.metrics.get(CLEAN)
        searched = each.kind == "search" and is_number(each.parameters.get(EPOCHS))
        if searched and each.state == "complete" and clean is not None:
            group = points.setdefault(group_text(each.factors), {})
            group.setdefault(arm_of(each.factors), []).append(each)
    runs = [run for group in points.values() for arm in group.values() for run in arm]
    if len({run.parameters[EPOCHS] for run in runs}) < 2:
        return None
    look, count = looks(dict.fromkeys(arm for group in points.values() for arm in group)), [0]
    figure, axes = grid_of(len(points), height=2.5)
    for ax, (title, group) in zip(axes, points.items(), strict=True):
        for arm, mine in group.items():
            x = [run.parameters[EPOCHS] for run in mine]
            y = [100 * (run.metrics[CLEAN] or 0.0) for run in mine]
            marked(ax.plot(x, y, **look[arm].of_points), arm, count)
        ax.set(title=title, xlabel="epochs of pre-training")
    axes[0].set_ylabel("clean test accuracy (%)")
    legend(figure, look, lines=False)
    alt = "Clean test accuracy of search trials against their epochs of pre-training."
    return Drawing("accuracy-by-pretraining", figure, CHOSEN, alt, runs)

"""Accuracy against the noise, arm by arm."""

from noisetune.report.arms import RATE, Panel, arms_of, group_text, panels, varies
from noisetune.report.contents import Drawing, Section
from noisetune.report.means import BARS, accuracies_of, draw_means
from noisetune.report.style import grid_of, legend, looks
from noisetune.report.view import SweepView

READS = (
    "Read how far the arms are apart, and how fast they fall: one that is robust stays high as the "
    f"noise grows. {BARS}"
)


def noise_rate(view: SweepView) -> Section | None:
    """Lines over the noise rate where that is what varies, else a place for each data and noise."""
    epoch = view.question.epoch
    known = [each for each in view.summaries if accuracies_of(each, epoch)]
    if not known or view.several:
        return None
    over_rates = varies(known, RATE)
    whole = Panel("", [pair for panel in panels(known) for pair in panel.arms])
    drawn = panels(known, (RATE,)) if over_rates else [whole]
    look, count = looks(arms_of(view.summaries)), [0]
    figure, axes = grid_of(len(drawn), columns=2, height=3.0, sharey=True)
    for ax, panel in zip(axes, drawn, strict=True):
        ticks = _rates(panel) if over_rates else _groups(panel)
        places = {each.name: ticks[_tick(each.factors, over_rates)] for _, each in panel.arms}
        draw_means(ax, panel, places, look, epoch, count, joined=over_rates)
        ax.set_title(panel.title, loc="left")
        ax.set_xticks(list(ticks.values()), list(ticks))
        ax.set_xlabel("noise rate" if over_rates else "")
    axes[0].set_ylabel("clean test accuracy (%)")
    legend(figure, {arm: look[arm] for arm in arms_of(known)}, lines=over_rates)
    runs = [run for each in known for run in view.again(each)]
    alt = f"Clean test accuracy of {', '.join(arms_of(known))} against the noise."
    drawing = Drawing("accuracy-by-noise", figure, READS, alt, runs)
    return Section("Accuracy against noise", drawings=[drawing])


def _tick(factors: dict, over_rates: bool) -> str:
    return f"{factors[RATE]:g}" if over_rates else group_text(factors)


def _rates(panel: Panel) -> dict[str, float]:
    rates = sorted({float(each.factors[RATE]) for _, each in panel.arms})
    return {f"{rate:g}": rate for rate in rates}


def _groups(panel: Panel) -> dict[str, float]:
    groups = dict.fromkeys(group_text(each.factors) for _, each in panel.arms)
    return {group: float(place) for place, group in enumerate(groups)}

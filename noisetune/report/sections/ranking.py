"""How well the noisy objective ranked the trials that it chose among."""

from noisetune.analysis.ranking import CLEAN, ranking_of, ranking_table, scored
from noisetune.report.arms import arms_of, panels
from noisetune.report.contents import Drawing, Section
from noisetune.report.style import grid_of, legend, looks, marked
from noisetune.report.view import SweepView

READS = (
    "Read whether what looks better under noisy labels is better: points that rise to the right "
    "were ranked well, and a choice among those that do not is a draw."
)


def ranking(view: SweepView) -> Section | None:
    """A table and a panel for each data and noise; none where the objective sees the truth."""
    if view.several or view.oracle:
        return None
    found = [
        ranking_of(each.name, [run for run in view.records if run.condition == each.name],
                   view.maximize[0])
        for each in view.summaries
    ]  # fmt: skip
    known = [each for each in found if each is not None]
    if not known:
        return None
    tables = {"ranking": ranking_table(known, view.metric)}
    return Section("How well noisy labels chose", drawings=[_scatter(view)], tables=tables)


def _scatter(view: SweepView) -> Drawing:
    drawn = panels(view.summaries)
    points = {each.name: scored([run for run in view.records if run.condition == each.name])
              for each in view.summaries}  # fmt: skip
    look, count = looks(arms_of(view.summaries)), [0]
    figure, axes = grid_of(len(drawn), height=2.3)
    for ax, panel in zip(axes, drawn, strict=True):
        for arm, each in panel.arms:
            x = [value for _, value, _ in points[each.name]]
            y = [100 * clean for _, _, clean in points[each.name]]
            marked(ax.plot(x, y, **look[arm].of_points), arm, count)
        ax.set(title=panel.title, xlabel=view.metric)
    axes[0].set_ylabel("clean test accuracy (%)")
    legend(figure, look, lines=False)
    runs = [run for each in points.values() for run, _, _ in each]
    alt = f"Clean accuracy ({CLEAN}) against {view.metric}, a point for each search trial."
    return Drawing("ranking", figure, READS, alt, runs)

"""What the parameters that were searched do: how much hangs on them, and where they are good."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from noisetune.records import TrialRecord
from noisetune.report.arms import arm_of
from noisetune.report.contents import Drawing, Section
from noisetune.report.studies import FEWEST, complete_trials, importances, is_log, places_of
from noisetune.report.style import INK, PALE, Look, grid_of, legend, looks, marked
from noisetune.report.view import SweepView
from noisetune.texts import counted

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

BESIDE = 0.12
"""How far the arms stand beside each other at a choice."""
Trials = Mapping[str, Sequence["FrozenTrial"]]
IMPORTANT = (
    "Read which parameters are worth searching: each point is a condition, and the share of its "
    "noisy objective that a parameter explains (fANOVA, complete trials alone)."
)
SLICED = (
    "Read where each parameter is good, and how far beside it one may be: objectives are below the "
    "best of their condition, so that all conditions can stand in one panel."
)
CROSSED = (
    "Read which settings go together: a line is a trial, from setting to setting to how far below "
    "the best of its condition it came; the best quarter is drawn strongly."
)
LANDSCAPE = (
    "Read the valley in which two settings trade off: of {name}, the objective over its two most "
    "important parameters, points being trials and darker ones better."
)


def parameters(view: SweepView) -> Section | None:
    """Of the complete search trials; with several goals by none of them."""
    done = {name: complete_trials(trials) for name, trials in view.searched.items()}
    done = {name: trials for name, trials in done.items() if len(trials) > 1 and trials[0].params}
    if view.several or not done:
        return None
    arms = {each.name: arm_of(each.factors) for each in view.summaries if each.name in done}
    look = looks(dict.fromkeys(arm_of(each.factors) for each in view.summaries))
    shares = {name: importances(trials, view.maximize[0]) for name, trials in done.items()}
    shares = {name: found for name, found in shares.items() if found}
    drawings = [
        _importance(view, shares, arms, look),
        _slices(view, done, arms, look),
        _parallel(view, done, arms, look),
        _contour(view, done, shares),
    ]
    few = [name for name in done if len(done[name]) < FEWEST]
    sentences = [
        f"{counted(len(few), 'condition')} with fewer than {FEWEST} complete trials "
        f"{'has' if len(few) == 1 else 'have'} no importance."
    ]
    drawn = [each for each in drawings if each is not None]
    return Section("What the parameters do", sentences if few else [], drawn) if drawn else None


def _runs(view: SweepView, names: Sequence[str]) -> list[TrialRecord]:
    return [
        each
        for each in view.records
        if each.condition in names and each.kind == "search" and each.state == "complete"
    ]


def _importance(
    view: SweepView,
    shares: Mapping[str, Mapping[str, float]],
    arms: Mapping[str, str],
    look: Mapping[str, Look],
) -> Drawing | None:
    names = dict.fromkeys(name for found in shares.values() for name in found)
    if len(names) < 2:
        return None
    order = sorted(names, key=lambda name: np.mean([s[name] for s in shares.values() if name in s]))
    figure, (ax,) = grid_of(1, height=0.6 + 0.3 * len(order))
    mine, count = [arm for arm in look if arm in {arms[name] for name in shares}], [0]
    for condition, found in shares.items():
        arm = arms[condition]
        beside = BESIDE * (mine.index(arm) - (len(mine) - 1) / 2)
        y = [order.index(name) + beside for name in found]
        marked(ax.plot(list(found.values()), y, **look[arm].of_points), arm, count)
    ax.set_yticks(range(len(order)), order)
    ax.set(xlabel="share of the objective that it explains", xlim=(-0.02, 1.02))
    legend(figure, {arm: look[arm] for arm in mine}, lines=False)
    alt = f"Importance of {', '.join(reversed(order))}, most important first."
    return Drawing("importance", figure, IMPORTANT, alt, _runs(view, list(shares)))


def behind(trials: Sequence["FrozenTrial"], maximize: bool) -> list[float]:
    """How far each trial is below the best of them, 0 or less."""
    values = np.array([each.values[0] for each in trials])
    return list((values - values.max()) if maximize else (values.min() - values))


def _slices(
    view: SweepView, done: Trials, arms: Mapping[str, str], look: Mapping[str, Look]
) -> Drawing | None:
    each_trial = [each for trials in done.values() for each in trials]
    names = dict.fromkeys(name for each in each_trial for name in each.params)
    figure, axes = grid_of(len(names), sharey=True)
    count, order = [0], list(dict.fromkeys(arms.values()))
    for ax, name in zip(axes, names, strict=True):
        every = [each for each in each_trial if name in each.params]
        _, labels = places_of([each.params[name] for each in every])
        for condition, trials in done.items():
            below = behind(trials, view.maximize[0])
            known = [(each.params[name], y) for each, y in zip(trials, below, strict=True)
                     if name in each.params]  # fmt: skip
            if known:
                arm = arms[condition]
                beside = BESIDE * (order.index(arm) - (len(order) - 1) / 2)
                x = [labels.index(str(v)) + beside if labels else v for v, _ in known]
                points = ax.plot(x, [y for _, y in known], alpha=0.75, **look[arm].of_points)
                marked(points, arm, count)
        _label(ax, name, labels, is_log(every, name))
    axes[0].set_ylabel(f"{view.metric}\nbelow the best")
    legend(figure, {arm: look[arm] for arm in dict.fromkeys(arms.values())}, lines=False)
    alt = f"The objective against each of {', '.join(names)}."
    return Drawing("slices", figure, SLICED, alt, _runs(view, list(done)))


def _label(ax: Axes, name: str, labels: Sequence[str] | None, log: bool) -> None:
    ax.set_xlabel(name)
    if labels:
        ax.set_xticks(range(len(labels)), labels)
        ax.set_xlim(-0.5, len(labels) - 0.5)
    elif log:
        ax.set_xscale("log")


def _parallel(
    view: SweepView, done: Trials, arms: Mapping[str, str], look: Mapping[str, Look]
) -> Drawing | None:
    """Over the parameters that all have; a parameter that some lack has no place on their line."""
    every = [each for trials in done.values() for each in trials]
    names = [name for name in every[0].params if all(name in each.params for each in every)]
    if len(names) < 2:
        return None
    places = {name: _between(every, name) for name in names}
    below = {id(t): y for ts in done.values() for t, y in
             zip(ts, behind(ts, view.maximize[0]), strict=True)}  # fmt: skip
    least = min(below.values()) or -1.0
    good = np.quantile(list(below.values()), 0.75)
    figure, (ax,) = grid_of(1, height=2.8)
    count = [0]
    for condition, trials in done.items():
        arm = arms[condition]
        for each in trials:
            line = [places[name][id(each)] for name in names] + [1 - below[id(each)] / least]
            alpha = 0.85 if below[id(each)] >= good else 0.2
            marked(ax.plot(line, color=look[arm].color, lw=1, alpha=alpha), arm, count)
    ax.set_xticks(range(len(names) + 1), [*names, view.metric])
    ax.tick_params(axis="x", labelsize=7, rotation=15 if len(names) > 4 else 0)
    ax.set_yticks([0, 1], ["lowest", "highest"])
    ax.grid(axis="x", alpha=0.8)
    plain = {arm: Look(look[arm].color, "", "-") for arm in dict.fromkeys(arms.values())}
    legend(figure, plain)
    alt = f"Each trial as a line over {', '.join(names)} and its objective."
    return Drawing("parallel-coordinates", figure, CROSSED, alt, _runs(view, list(done)))


def _between(trials: Sequence["FrozenTrial"], name: str) -> dict[int, float]:
    """By trial, where its value stands between the lowest (0) and the highest (1) of all."""
    x, labels = places_of([each.params[name] for each in trials])
    at = np.log(x) if labels is None and is_log(trials, name) else np.array(x)
    span = np.ptp(at) or 1.0
    return {
        id(each): float(place) for each, place in zip(trials, (at - at.min()) / span, strict=True)
    }


def _contour(
    view: SweepView, done: Trials, shares: Mapping[str, Mapping[str, float]]
) -> Drawing | None:
    """Of the condition with the most trials of which two parameters are numbers."""
    numeric = {
        name: [p for p, _ in sorted(found.items(), key=lambda item: -item[1])
               if places_of([t.params[p] for t in done[name] if p in t.params])[1] is None]
        for name, found in shares.items()
    }  # fmt: skip
    fit = [name for name, found in numeric.items() if len(found) > 1]
    if not fit:
        return None
    condition = max(fit, key=lambda name: len(done[name]))
    first, second = numeric[condition][:2]
    mine = [each for each in done[condition] if {first, second} <= set(each.params)]
    figure, (ax,) = grid_of(1, height=3.2)
    x, y = ([each.params[name] for each in mine] for name in (first, second))
    value = [each.values[0] for each in mine]
    for name, scale, axis in (
        (first, ax.set_xscale, ax.xaxis),
        (second, ax.set_yscale, ax.yaxis),
    ):
        if is_log(mine, name):
            scale("log")
            axis.set_minor_formatter(NullFormatter())
    _levels(ax, mine, (first, second), value)
    points = ax.scatter(x, y, c=value, cmap="cividis_r" if view.maximize[0] else "cividis", s=24,
                        edgecolors=INK, linewidths=0.5, zorder=3)  # fmt: skip
    ax.set(xlabel=first, ylabel=second)
    ax.margins(0.06)
    figure.colorbar(points, ax=ax, label=view.metric)
    alt = f"The objective over {first} and {second}."
    return Drawing(
        "contour", figure, LANDSCAPE.format(name=condition), alt, _runs(view, [condition])
    )


def _levels(
    ax: Axes, trials: Sequence["FrozenTrial"], names: tuple[str, str], value: Sequence[float]
) -> None:
    """Lines of equal objective, between trials; none where they lie on one line."""
    at = [[_between(trials, name)[id(each)] for each in trials] for name in names]
    spread = np.linalg.svd(np.array(at) - np.mean(at, axis=1, keepdims=True), compute_uv=False)
    if len(trials) >= FEWEST and spread.min() > 1e-3:
        x, y = ([each.params[name] for each in trials] for name in names)
        from matplotlib.tri import Triangulation

        mesh = Triangulation(x, y, Triangulation(*at).triangles)
        ax.tricontour(mesh, value, levels=8, colors=PALE, linewidths=0.8)

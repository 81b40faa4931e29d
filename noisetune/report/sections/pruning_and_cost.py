"""What was stopped, and when; what all of it cost, and what sharing stages saved."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from noisetune.analysis.tables import plain_table
from noisetune.report.arms import arm_of, group_text
from noisetune.report.contents import Drawing, Section
from noisetune.report.style import INK, PALE, grid_of, legend, looks, marked, over_epochs
from noisetune.report.view import SweepView
from noisetune.texts import counted

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

HOUR = 3600.0
READS = (
    "Read whether what was stopped (a cross where it ended) had fallen behind those that went on, "
    "which are drawn in full: a cross above them was a mistake of the pruner."
)
MOST_PANELS = 12


def pruning_and_cost(view: SweepView) -> Section | None:
    """The search trials by epoch where some were stopped, and the seconds that were spent."""
    drawing = _pruning(view)
    tables = {}
    if any(each.counts["pruned"] for each in view.summaries):
        tables["pruning"] = _pruned_table(view)
    if view.seconds:
        tables["cost"] = _cost_table(view)
    sentences = [*_spent(view), *_saved(view)]
    if drawing is None and not tables and not sentences:
        return None
    return Section("Pruning and cost", sentences, [drawing] if drawing else [], tables)


def _pruning(view: SweepView) -> Drawing | None:
    stopped = {name: trials for name, trials in view.searched.items() if _of(trials, "PRUNED")}
    if not stopped or view.several:
        return None
    shown = dict(list(stopped.items())[:MOST_PANELS])
    arms = {each.name: arm_of(each.factors) for each in view.summaries}
    factors = {each.name: each.factors for each in view.summaries}
    look, count = looks(dict.fromkeys(arms.values())), [0]
    figure, axes = grid_of(len(shown), height=1.9)
    for ax, (name, trials) in zip(axes, shown.items(), strict=True):
        color, arm = look[arms[name]].color, arms[name]
        for each in sorted(trials, key=lambda trial: trial.number):
            steps = sorted(each.intermediate_values.items())
            if not steps or each.state.name not in ("PRUNED", "COMPLETE"):
                continue
            x, y = [step for step, _ in steps], [value for _, value in steps]
            gone = each.state.name == "PRUNED"
            line = ax.plot(x, y, color=PALE if gone else color, ls="--" if gone else "-", lw=1.2)
            marked(line, arm, count)
            if gone:
                marked(ax.plot(x[-1:], y[-1:], "x", color=INK, zorder=3), arm, count)
        ax.set_title(f"{group_text(factors[name])}\n{arm}".strip())
        over_epochs(ax)
    axes[0].set_ylabel(view.metric)
    legend(figure, {arms[name]: look[arms[name]] for name in shown}, lines=False)
    runs = [each for each in view.records if each.kind == "search" and each.condition in shown]
    reads = READS
    if len(stopped) > len(shown):
        reads += f" The first {len(shown)} of {counted(len(stopped), 'condition')}."
    alt = f"{view.metric} of each search trial by epoch, those that were stopped with a cross."
    return Drawing("pruning", figure, reads, alt, runs)


def _of(trials: Iterable["FrozenTrial"], state: str) -> list["FrozenTrial"]:
    return [each for each in trials if each.state.name == state]


def _pruned_table(view: SweepView) -> Table:
    table = plain_table(f"what was stopped; {view.metric} at its last epoch, and of what went on")
    table.add_column("condition")
    of_rest = ("worst of\nthe rest", "best of\nthe rest")
    for heading in ("stopped", "at epoch", "best of\nstopped", *of_rest):
        table.add_column(heading, justify="right")
    best = max if view.maximize[0] else min
    worst = min if view.maximize[0] else max
    for name, trials in view.searched.items():
        stopped, rest = _of(trials, "PRUNED"), _of(trials, "COMPLETE")
        if not stopped:
            continue
        ends = [max(each.intermediate_values) for each in stopped if each.intermediate_values]
        at = f"{min(ends)}..{max(ends)}" if ends else "before fine-tuning"
        last = [each.intermediate_values[max(each.intermediate_values)] for each in stopped
                if each.intermediate_values]  # fmt: skip
        values = [each.values[0] for each in rest]
        cells = [_cell(best, last), _cell(worst, values), _cell(best, values)]
        table.add_row(name, f"{len(stopped)} of {len(stopped) + len(rest)}", at, *cells)
    return table


def _cell(choose: Callable[[Sequence[float]], float], values: Sequence[float]) -> str:
    return f"{choose(values):.4f}" if values else ""


def _cost_table(view: SweepView) -> Table:
    """Seconds by condition and stage; a stage that several trials share is counted once."""
    stages = list(dict.fromkeys(stage for run in view.seconds.values() for stage in run))
    table = plain_table("seconds of computing, by stage, of the trials that completed")
    table.caption = (
        "computed: a stage that trials share is counted in the first condition that has it; alone: "
        "what each trial would have computed by itself"
    )
    table.add_column("condition")
    for heading in ("trials", *stages, "computed", "alone"):
        table.add_column(heading, justify="right")
    ran = [run for run in view.records if run.name in view.seconds]
    counted_before: set[tuple[str, float]] = set()
    for each in view.summaries:
        runs = [run for run in ran if run.condition == each.name]
        alone = [(s, t) for run in runs for s, t in view.seconds[run.name].items()]
        new = set(alone) - counted_before
        counted_before |= new
        by_stage = [sum(t for s, t in sorted(new) if s == stage) for stage in stages]
        computed, total = sum(t for _, t in sorted(new)), sum(t for _, t in alone)
        cells = [f"{value:.1f}" for value in (*by_stage, computed, total)]
        table.add_row(each.name, str(len(runs)), *cells)
    return table


def _spent(view: SweepView) -> list[str]:
    if not view.spent:
        return []
    hours = view.spent.get("hours", 0.0)
    words = [f"{hours:.2f} hours at work", f"{view.spent.get('trial_hours', 0.0):.2f} trial hours"]
    if view.spent.get("gpu_hours"):
        words.append(f"{view.spent['gpu_hours']:.2f} GPU hours")
    return [f"Spent: {', '.join(words)}, over all resumes."]


def _saved(view: SweepView) -> list[str]:
    """Equal seconds of a stage, to the last digit, are of one computation."""
    alone = [pair for run in view.seconds.values() for pair in run.items()]
    total, computed = sum(t for _, t in alone), sum(t for _, t in sorted(set(alone)))
    if total <= computed:
        return []
    return [
        f"Sharing stages saved {(total - computed) / HOUR:.2f} of {total / HOUR:.2f} hours of "
        f"computing ({100 * (1 - computed / total):.0f} %) among the trials that completed."
    ]

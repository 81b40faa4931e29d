"""The rules by which an epoch is chosen, and what each loses against the oracle."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.table import Table

from noisetune.analysis.cells import CONDITIONAL, RULES, in_points, interval_text, known_choices
from noisetune.analysis.metric_tables import metric_interval
from noisetune.analysis.statistics import Interval, mean_interval
from noisetune.analysis.summaries import ConditionSummary, accuracies
from noisetune.analysis.tables import (
    ADAPTIVE_NOTE,
    FEW_NOTE,
    NOT_REPLICATED,
    accuracy_cell,
    captioned,
    factor_cells,
    factor_columns,
    plain_table,
)
from noisetune.records import TrialRecord
from noisetune.selection import CHOICES, Choice

READS = (
    "noisy best asks for noisy labels that are held out, last and label wave for none; the "
    "oracle's accuracy is the highest of all epochs on the very test images: no rule is ahead of it"
)
BEHIND = (
    "behind: points of accuracy below the oracle, paired by replicate, with the 95 % interval of "
    "the mean; epoch: the mean of those chosen"
)


@dataclass(frozen=True)
class Rule:
    """What a rule comes to in a condition: the mean `epoch` that it chooses, and how far it is
    `behind` the oracle in clean accuracy (0..1)."""

    epoch: float | None
    behind: Interval


def rule_of(summary: ConditionSummary, choice: Choice) -> Rule:
    """Over the replicates that have both choices of epoch, those that diverged included."""
    own, best = summary.replicates[choice], summary.replicates["oracle"]
    lost = [best[seed] - own[seed] for seed in sorted(own.keys() & best.keys())]
    return Rule(metric_interval(summary, f"epoch_at_{choice}").mean, mean_interval(lost))


def selection_table(summaries: Sequence[ConditionSummary], adaptive: bool = False) -> Table | None:
    """One row a condition and rule; None where no trial is complete.

    `adaptive`: the sweep chose its number of replicates as it went.
    """
    shown = [each for each in summaries if each.winner is not None or each.replicates["last"]]
    if not shown:
        return None
    table = plain_table("rules of choosing the epoch; clean test accuracy in % over n replicates")
    replicated = any(each.replicates["last"] for each in shown)
    alone = any(not each.replicates["last"] for each in shown)
    notes = [
        READS,
        BEHIND,
        *([FEW_NOTE] if replicated else []),
        *([ADAPTIVE_NOTE] if adaptive else []),
        *([NOT_REPLICATED] if alone else []),
    ]
    table.caption = captioned(notes, shown)
    factor_columns(table, shown)
    table.add_column("rule")
    for heading in ("n", "epoch", "accuracy", "behind"):
        table.add_column(heading, justify="right")
    for each in shown:
        for choice in known_choices([(each.replicates, each.winner)]):
            table.add_row(*factor_cells(each), RULES[choice].replace("\n", " "),
                          *_cells(each, choice))  # fmt: skip
    return table


def _cells(summary: ConditionSummary, choice: Choice) -> list[str]:
    """In brackets, those of the trial that was chosen where none ran again."""
    form, of = "{}", summary
    if summary.winner is not None and not summary.replicates["last"]:
        form, of = "({})", _alone(summary, summary.winner)
    rule, mark = rule_of(of, choice), CONDITIONAL if of.one_encoder else ""
    epoch = "" if rule.epoch is None else f"{rule.epoch:.1f}"
    behind = "" if choice == "oracle" else interval_text(in_points(rule.behind), 1, mark)
    return [
        str(len(summary.replicates[choice])),
        form.format(epoch) if epoch else "",
        accuracy_cell(summary, choice),
        form.format(behind) if behind else "",
    ]


def _alone(summary: ConditionSummary, trial: TrialRecord) -> ConditionSummary:
    """The condition as if a trial were its one replicate."""
    replicates: dict[str, dict[int, float]] = {
        choice: accuracies([trial], choice) for choice in CHOICES
    }
    return replace(summary, runs=(trial,), replicates=replicates)

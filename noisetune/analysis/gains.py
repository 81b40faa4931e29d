"""The table of one number over the noise rates: what each method gains over all its groups."""

from collections.abc import Sequence

from rich.table import Table

from noisetune.analysis.comparisons import EPOCHS, contrast
from noisetune.analysis.over_conditions import Gain, Stratum, overall_gain, paired_stratum
from noisetune.analysis.question import Question
from noisetune.analysis.statistics import Interval
from noisetune.analysis.summaries import ConditionSummary
from noisetune.analysis.tables import plain_table

FIXED = "95 % by bootstrap within each group, for a number of replicates that was fixed beforehand"
NOT_FIXED = (
    "95 % by bootstrap within each group: NOT valid at that level, since this sweep chose n as it "
    "went"
)


def gains_of(summaries: Sequence[ConditionSummary], question: Question) -> dict[str, Gain]:
    """By contrast ("simclr - none"), of those that two groups or more have, what is gained."""
    arms = {summary.name: summary for summary in summaries}
    strata: dict[str, list[Stratum]] = {}
    for first, second in question.pairs:
        if {first, second} <= arms.keys():
            a, b = (arms[name] for name in (first, second))
            _, what = contrast(a.factors, b.factors)
            values = (arm.replicates[question.epoch] for arm in (a, b))
            strata.setdefault(what, []).append(paired_stratum(*values))
    several = {what: overall_gain(groups) for what, groups in strata.items() if len(groups) > 1}
    return {what: gain for what, gain in several.items() if gain is not None}


def gains_table(summaries: Sequence[ConditionSummary], question: Question) -> Table | None:
    """One row a contrast; None where no contrast has two groups with two replicates each."""
    gains = gains_of(summaries, question)
    if not gains:
        return None
    table = plain_table(f"over all groups, at {EPOCHS[question.epoch]}")
    table.caption = "\n".join(
        [
            "gain: mean over groups of the mean difference, in points; better: chance that a "
            "replicate of the first beats one of the second; IQM: mean of the middle half of all "
            "replicates, in %",
            NOT_FIXED if question.adaptive else FIXED,
        ]
    )
    table.add_column("difference of")
    for heading in ("groups", "n", "gain", "better", "IQM", "IQM of\nthe second"):
        table.add_column(heading, justify="right", no_wrap=True)
    for what, gain in gains.items():
        table.add_row(
            what,
            str(gain.groups),
            str(gain.replicates),
            _cell(gain.gain, 100, "+.1f"),
            _cell(gain.improvement, 1, ".2f"),
            _cell(gain.iqm_a, 100, ".1f"),
            _cell(gain.iqm_b, 100, ".1f"),
        )
    return table


def _cell(interval: Interval, scale: float, form: str) -> str:
    assert interval.mean is not None
    assert interval.low is not None
    assert interval.high is not None
    mean, low, high = (
        format(scale * end, form) for end in (interval.mean, interval.low, interval.high)
    )
    return f"{mean}\n{low}..{high}"

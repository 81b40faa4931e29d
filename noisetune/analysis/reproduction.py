"""The paper's published figures, and those of a sweep beside them.

A published cell names what it is of: data set, rate, method, epochs. It meets the condition whose
trial has all of that. Whether the two can be compared is decided by the whole configuration: the
trial's against the paper's recipe for the cell.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from noisetune.analysis.metric_tables import metric_interval
from noisetune.analysis.published_tables import FIGURES, PublishedCell, PublishedTable
from noisetune.analysis.statistics import Interval
from noisetune.analysis.summaries import ConditionSummary
from noisetune.records import flatten
from noisetune.selection import ROUNDING

Config = Mapping[str, Any]
Recipe = Callable[[Mapping[str, Any]], Config]


_UNREAD = (
    "protocol",
    "replicate",
    "pretrain_seed",
    "telemetry",
    "runtime",
    "data.root",
    "data.download",
    "noise.path",
    "detect.folds",
    "finetune.probe_epochs",
)
"""Fields that decide no figure; which labels a file holds is said by another field."""


@dataclass(frozen=True)
class Reproduced:
    """A published figure beside ours, in the paper's units.

    `ours` is over replicates, `alone` the search trial's where none ran. `difference` is ours
    minus the paper's. `verdict` says whether the paper's value is `inside` or `outside` our
    interval, or why that cannot be said. For accuracy, `last` and `noisy_best` are ours at the
    other choices of epoch.
    """

    where: dict[str, Any]
    figure: str
    paper: float
    read_off: bool
    condition: str | None
    ours: Interval
    alone: float | None
    difference: float | None
    verdict: str
    one_encoder: bool
    reasons: tuple[str, ...]
    last: Interval | None
    noisy_best: Interval | None


def reproduce(
    table: PublishedTable, summaries: Sequence[ConditionSummary], recipe: Recipe
) -> list[Reproduced]:
    """Every figure of the table, in its order, with what the conditions of a sweep have for it.

    `recipe` gives the whole configuration of the paper's trial that has the given fields.
    """
    return [row for cell in table.cells for row in _of_cell(table, cell, summaries, recipe)]


def _of_cell(
    table: PublishedTable,
    cell: PublishedCell,
    summaries: Sequence[ConditionSummary],
    recipe: Recipe,
) -> Iterator[Reproduced]:
    paper = recipe(cell.trial | cell.where)
    summary, reasons = nearest(cell, summaries, paper)
    protocol = [f"protocol {said}"] if (said := _other_protocol(summary, paper)) else []
    for figure, value in cell.figures.items():
        # Detection comes after training: its settings decide no accuracy.
        counted = [
            reason
            for reason in reasons
            if FIGURES[figure].metric.startswith("detect/") or not reason.startswith("detect.")
        ]
        # The protocol decides nothing by itself, but says best why much is different.
        why = [*([cell.unsure] if cell.unsure else []), *(protocol if counted else []), *counted]
        yield _row(cell, figure, value, summary, why, table.printed[figure] / 2)


def _other_protocol(summary: ConditionSummary | None, paper: Config) -> str | None:
    if summary is None or summary.winner is None:
        return None
    ours, theirs = (each.get("protocol", "standard") for each in (summary.winner.config, paper))
    return None if ours == theirs else f"{ours} (not {theirs})"


def nearest(
    cell: PublishedCell, summaries: Sequence[ConditionSummary], paper: Config
) -> tuple[ConditionSummary | None, list[str]]:
    """The condition that is what the cell is of, and in what else it differs from the paper.

    Of several the one that differs least, the first of equals; None where nothing has completed.
    """
    candidates = [
        (summary, differences(summary.winner.config, paper))
        for summary in summaries
        if summary.winner is not None and _meets(summary.winner.config, cell.where)
    ]
    return min(candidates, key=lambda candidate: len(candidate[1]), default=(None, []))


def _meets(config: Config, where: Mapping[str, Any]) -> bool:
    facts = flatten(config)
    if facts.get("noise.model") == "none":
        facts["noise.rate"] = 0.0
    return all(field in facts and facts[field] == value for field, value in where.items())


def differences(config: Config, paper: Config) -> list[str]:
    """What differs, in words, between a trial's configuration and the paper's, where it matters.

    Fields that one of the two does not have are the other method's own, and left out.
    """
    ours, theirs = flatten(config), flatten(paper)
    unread = _UNREAD if theirs.get("noise.rate", 1) else (*_UNREAD, "noise")
    fields = [
        field
        for field in dict.fromkeys([*theirs, *ours])
        if field == "runtime.precision" or not {field, *_sections(field)} & {*unread}
    ]
    said = (_difference(field, ours, theirs) for field in fields)
    return list(dict.fromkeys(each for each in said if each is not None))


def _difference(field: str, ours: Config, theirs: Config) -> str | None:
    if field in ours and field in theirs:
        same = ours[field] == theirs[field]
        return None if same else f"{field} {ours[field]} (paper: {theirs[field]})"
    for section in _sections(field):
        if section in ours:
            return f"{section} {ours[section]} (not the paper's)"
        if section in theirs:
            return f"{section} given (not in the paper)"
    return None


def _sections(field: str) -> list[str]:
    """The sections that a field lies in: of a.b.c those are a and a.b."""
    parts = field.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _row(
    cell: PublishedCell,
    figure: str,
    value: float,
    summary: ConditionSummary | None,
    reasons: Sequence[str],
    rounding: float,
) -> Reproduced:
    of = FIGURES[figure]
    ours = _scaled(summary, of.metric, of.scale)
    alone = None
    if summary is not None and summary.winner is not None and not ours.n:
        value_alone = summary.winner.metrics.get(of.metric)
        alone = None if value_alone is None else of.scale * value_alone
    comparable = summary is not None and not reasons
    by_epoch = summary is not None and figure == "accuracy"
    others = [f"test/accuracy_at_{choice}" for choice in ("last", "noisy_best")]
    last, noisy_best = (_scaled(summary, each, of.scale) if by_epoch else None for each in others)
    return Reproduced(
        where=cell.where,
        figure=figure,
        paper=value,
        read_off=cell.read_off,
        condition=None if summary is None else summary.name,
        ours=ours,
        alone=alone,
        difference=ours.mean - value if comparable and ours.mean is not None else None,
        verdict=verdict(ours, value, rounding) if comparable else _why_not(summary),
        one_encoder=summary is not None and summary.one_encoder,
        reasons=tuple(reasons) if summary is not None else (),
        last=last,
        noisy_best=noisy_best,
    )


def _scaled(summary: ConditionSummary | None, metric: str, scale: float) -> Interval:
    if summary is None:
        return Interval(None, None, None, 0)
    interval = metric_interval(summary, metric)
    ends = (interval.mean, interval.low, interval.high)
    mean, low, high = (None if end is None else scale * end for end in ends)
    return Interval(mean, low, high, interval.n)


def _why_not(summary: ConditionSummary | None) -> str:
    return "not run" if summary is None else "not comparable"


def verdict(ours: Interval, paper: float, rounding: float) -> str:
    """Whether the paper's value, known to within `rounding`, may lie in our interval."""
    if not ours.n:
        return "no replicates"
    # Replicates that agree to the last digit estimate no variance.
    if ours.low is None or ours.high is None or ours.high - ours.low <= ROUNDING:
        return "no interval"
    inside = ours.low - rounding - ROUNDING <= paper <= ours.high + rounding + ROUNDING
    return "inside" if inside else "outside"


def common_reasons(rows: Sequence[Reproduced], most: int = 5) -> list[str]:
    """Why figures are not comparable, the most frequent first, with how many it is true of."""
    kept = [row for row in rows if row.verdict == "not comparable"]
    counts = Counter(reason for row in kept for reason in row.reasons)
    said = [
        reason if count == len(kept) else f"{reason} [{count} of {len(kept)} figures]"
        for reason, count in counts.most_common(most)
    ]
    left = len(counts) - len(said)
    return said + ([f"and {left} more"] if left > 0 else [])

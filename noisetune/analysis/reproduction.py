"""The paper's published figures, and those of a sweep beside them.

A published cell names what it is of: data set, rate, method, epochs. It meets the condition whose
trial has all of that. Whether the two can be compared is decided by the whole configuration: the
trial's against the paper's recipe for the cell.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from noisetune.analysis.metric_tables import metric_values
from noisetune.analysis.published_tables import FIGURES, Figure, PublishedCell, PublishedTable
from noisetune.analysis.statistics import Interval, mean_interval, welch_difference
from noisetune.analysis.summaries import ConditionSummary
from noisetune.records import flatten
from noisetune.selection import ROUNDING

Config = Mapping[str, Any]
Recipe = Callable[[Mapping[str, Any]], Config]

_UNREAD = (
    "protocol",
    "replicate",
    "telemetry",
    "runtime",
    "data.root",
    "data.download",
    "noise.path",
    "detect.folds",
    "finetune.probe_epochs",
)
"""Fields that decide no figure; which labels a file holds is said by another field."""


_LATER = {
    f"{section}.{field}": value
    for section in ("pretrain", "finetune")
    for field, value in {"decay": "all", "clip_norm": None, "layer_decay": 1.0}.items()
}
"""What fields that came later were in a trial that did not record them."""

_ARITHMETIC = ("runtime.precision", "runtime.tf32")
"""Of `runtime`, what the paper's trials say, too."""


@dataclass(frozen=True)
class Reproduced:
    """A published figure beside ours, in the paper's units.

    `values` are ours by replicate, `ours` their mean, `alone` the search trial's where none ran.
    `paper_values` are the paper's by seed, empty where it published a mean alone. `difference` is
    ours minus the paper's, with Welch's interval of two samples where both have values by seed.
    `verdict` then says whether the two are `consistent` (0 is in it) or `differ`; of a mean alone
    whether it is `inside` or `outside` our interval; or why nothing can be said. For accuracy,
    `last`, `noisy_best` and `label_wave` are ours at the other choices of epoch.
    """

    where: dict[str, Any]
    figure: str
    paper: float
    paper_values: tuple[float, ...]
    read_off: bool
    condition: str | None
    values: tuple[float, ...]
    ours: Interval
    alone: float | None
    difference: Interval | None
    verdict: str
    one_encoder: bool
    reasons: tuple[str, ...]
    last: Interval | None
    noisy_best: Interval | None
    label_wave: Interval | None


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
        if summary is not None and summary.trials_each:
            why.append("each replicate has the setting that its own search found")
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

    Fields that one of two methods does not have are the other's own, and left out.
    """
    theirs = flatten(paper)
    ours = {name: value for name, value in _LATER.items() if name in theirs} | flatten(config)
    unread = set(_UNREAD)
    if not theirs.get("noise.rate", 1):
        unread.add("noise")
    if "pretrain.epochs" not in theirs:
        unread.add("pretrain_seed")  # nothing is pre-trained
    fields = [
        field
        for field in dict.fromkeys([*theirs, *ours])
        if field in _ARITHMETIC or not {field, *_sections(field)} & unread
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
    if field in theirs and _same_plugin(field, ours, theirs):
        # An earlier version had no such field, and what it did need not be the paper's way.
        return f"{field} not recorded (paper: {theirs[field]})"
    return None


def _same_plugin(field: str, ours: Config, theirs: Config) -> bool:
    """Whether both have the same choice in the section of a field, and ours nothing under it."""
    selectors = [f"{field.split('.')[0]}.{key}" for key in ("name", "model", "method")]
    nested = any(each.startswith(f"{field}.") for each in ours)
    return not nested and all(ours.get(each) == theirs.get(each) for each in selectors)


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
    of, theirs = FIGURES[figure], cell.by_seed.get(figure, ())
    values = _values(summary, of.metric, of.scale)
    ours, comparable = mean_interval(values), summary is not None and not reasons
    gap = None
    if comparable and ours.mean is not None:
        gap = welch_difference(values, theirs) if theirs else difference_of(ours, value)
    by_epoch = summary is not None and figure == "accuracy"
    last, noisy_best, label_wave = (
        mean_interval(_values(summary, f"test/accuracy_at_{choice}", of.scale))
        if by_epoch
        else None
        for choice in ("last", "noisy_best", "label_wave")
    )
    said = of_two_samples(gap, ours) if theirs else verdict(ours, value, rounding)
    return Reproduced(
        where=cell.where,
        figure=figure,
        paper=value,
        paper_values=theirs,
        read_off=cell.read_off,
        condition=None if summary is None else summary.name,
        values=tuple(values),
        ours=ours,
        alone=None if ours.n else _alone(summary, of),
        difference=gap,
        verdict=said if comparable else _why_not(summary),
        one_encoder=summary is not None and summary.one_encoder,
        reasons=tuple(reasons) if summary is not None else (),
        last=last,
        noisy_best=noisy_best,
        label_wave=label_wave,
    )


def _values(summary: ConditionSummary | None, metric: str, scale: float) -> list[float]:
    return [] if summary is None else [scale * each for each in metric_values(summary, metric)]


def _alone(summary: ConditionSummary | None, of: Figure) -> float | None:
    if summary is None or summary.winner is None:
        return None
    value = summary.winner.metrics.get(of.metric)
    return None if value is None else of.scale * value


def difference_of(ours: Interval, paper: float) -> Interval:
    """Ours minus a figure whose own spread is not known, so that there is no interval."""
    return Interval(None if ours.mean is None else ours.mean - paper, None, None, ours.n)


def _why_not(summary: ConditionSummary | None) -> str:
    return "not run" if summary is None else "not comparable"


def of_two_samples(difference: Interval | None, ours: Interval) -> str:
    """Whether the interval of the difference, ours minus the paper's, has 0 in it."""
    if not ours.n:
        return "no replicates"
    if difference is None or difference.low is None or difference.high is None:
        return "no interval"
    return "consistent" if difference.low <= 0 <= difference.high else "differ"


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

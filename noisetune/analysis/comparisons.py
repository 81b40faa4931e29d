"""Paired differences between conditions as a table, with what they establish in words."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

from noisetune.analysis.cells import CONDITIONAL
from noisetune.analysis.evidence import FEWEST
from noisetune.analysis.power import replicates_for, smallest_difference
from noisetune.analysis.question import Answer, Question, answers
from noisetune.analysis.summaries import ConditionSummary
from noisetune.analysis.tables import captioned, plain_table, shown
from noisetune.analysis.verdicts import Verdict
from noisetune.predictions import Kept
from noisetune.selection import Choice

EPOCHS = {
    "last": "the last epoch",
    "noisy_best": "the noisy-best epoch",
    "label_wave": "the epoch at which Label Wave stops",
    "oracle": "the epoch best by clean test (oracle)",
}
OWN_SETTINGS = "about the setting that each condition chose for itself"
SECOND_LINE = (
    "(in parentheses: t interval, Holm's p; to quote where n was fixed beforehand; "
    "r: correlation of the paired arms; images: sampling error of the test images, which all "
    "replicates share, 95 %)"
)
ADAPTIVE = SECOND_LINE.replace(
    "to quote where n was fixed beforehand",
    "NOT valid at their level, since this sweep chose n as it went",
)


def comparisons_table(
    summaries: Sequence[ConditionSummary],
    question: Question,
    choice: Choice | None = None,
    predictions: Kept | None = None,
    look: str = "",
) -> Table:
    """Differences in clean test accuracy at a `choice` of epoch, and the verdict in the caption.

    At another choice than the one that the sweep asks about there is no verdict. `predictions` tell
    the sampling error of the test images. `look` says under which other rule the settings of
    these `summaries` were chosen, of which there is no verdict either.
    """
    choice = choice or question.epoch
    asked = choice == question.epoch and not look
    found = [
        each
        for each in answers(summaries, question, choice, predictions, asked)
        if each.fixed.difference.mean is not None
    ]
    table = plain_table(
        f"difference in clean test accuracy (points) at {EPOCHS[choice]}, paired by replicate"
        + (f"; {look}" if look else "")
    )
    table.add_column("difference of\nwhere")
    for heading in ("mean\n(images)", "95 %, every look\n(fixed n)", "n\n(r)", "p\n(Holm)"):
        table.add_column(heading, justify="right", no_wrap=True)
    if asked:
        table.add_column("verdict")
    of = {summary.name: summary for summary in summaries}
    for each in found:
        table.add_row(*_cells(each, of, asked))
    notes = notes_on(summaries, question, choice, found, asked) if found else []
    marked = [arm for each in found for arm in _arms(each, of)]
    table.caption = captioned(notes, marked)
    return table


def notes_on(
    summaries: Sequence[ConditionSummary],
    question: Question,
    choice: Choice,
    found: Sequence[Answer],
    asked: bool,
) -> list[str]:
    """The verdict in words where it is `asked` for, what it rests on, and how to read the table."""
    second_line = ADAPTIVE if question.adaptive else SECOND_LINE
    if not asked:
        where = f"at {EPOCHS[question.epoch]}" if choice != question.epoch else OWN_SETTINGS
        return [f"a look without a verdict of its own: the sweep asks {where}", second_line]
    of = {summary.name: summary for summary in summaries}
    return [
        *verdict_lines(found, of, question),
        *_collapsed_lines(found),
        *_diverged_lines(found, of),
        second_line,
    ]


def verdict_lines(
    found: Sequence[Answer], of: Mapping[str, ConditionSummary], question: Question
) -> list[str]:
    """What is established, what is equal, and what the replicates could establish where neither."""
    verdicts = [each.verdict for each in found if each.verdict is not None]
    claimed = [each for each in verdicts if each.claim is not None]
    lines = [_established(claimed, of, question)] if claimed else []
    if equal := [each for each in verdicts if each.equal]:
        assert question.margin is not None
        margin = f"{100 * question.margin:g} point" + ("" if question.margin == 0.01 else "s")
        lines.append(f"equal within {margin}: {_listed(equal, of, ' and ', 'equal_at_n')}")
    if not claimed:
        lines.append(_nothing_yet(found, question))
    reasons = dict.fromkeys(
        each.reason for each in verdicts if each.reason and each.n >= FEWEST and not each.claim
    )
    return [*lines, *(f"no verdict: {reason}" for reason in reasons if reason)]


def _established(
    claimed: Sequence[Verdict], of: Mapping[str, ConditionSummary], question: Question
) -> str:
    sizes = [len(family.pairs) for family in question.families]
    levels = ", ".join(
        f"{100 * family.level:.3g} % over {size}"
        for family, size in zip(question.families, sizes, strict=True)
    )
    word = "comparison" if sizes[-1] == 1 else "comparisons"
    return f"established at every look ({levels} {word}): {_listed(claimed, of, ' above ', 'at_n')}"


def _listed(
    verdicts: Sequence[Verdict], of: Mapping[str, ConditionSummary], between: str, at: str
) -> str:
    """Each contrast once, with the places in which it holds and the replicate that showed it."""
    places: dict[str, list[str]] = {}
    for each in verdicts:
        below = between == " above " and each.claim == "below"
        first, second = (each.b, each.a) if below else (each.a, each.b)
        where, what = contrast(of[first].factors, of[second].factors, between)
        places.setdefault(what, []).append(f"{where} at n = {getattr(each, at)}".strip())
    return "; ".join(f"{what} ({', '.join(where)})" for what, where in places.items())


def _nothing_yet(found: Sequence[Answer], question: Question) -> str:
    """Why nothing is established, and what would be with as many replicates."""
    n = min(each.fixed.difference.n for each in found)
    spreads = [each.spread for each in found if each.spread]
    if n < FEWEST:
        return f"n = {n}: no verdict under n = {FEWEST}; give more replicates"
    if not spreads:
        return "nothing is established"
    spread, pairs = statistics.median(spreads), len(question.pairs)
    least = smallest_difference(n, spread, pairs, question.families[0].level)
    start = f"nothing is established: with n = {n} and the spread seen here"
    spread_text = f"({100 * spread:.1f} points)"
    if math.isinf(least):
        return f"{start} {spread_text} no difference could be; give more replicates"
    half = replicates_for(least / 2, spread, pairs, question.families[0].level)
    more = f"; half of that takes n = {half}" if half else ""
    return (
        f"{start} {spread_text} a difference of {100 * least:.1f} points would be, with a chance "
        f"of 80 %{more}"
    )


def _collapsed_lines(found: Iterable[Answer]) -> list[str]:
    counts = {name: count for each in found for name, count in each.low.items()}
    if not counts:
        return []
    arms = ", ".join(f"{name}: {count}" for name, count in counts.items())
    return [
        f"seeds far below the others of their arm ({arms}): a claim then is of how often an arm "
        "collapses, too, and arms of equal mean can differ in that"
    ]


def _diverged_lines(found: Sequence[Answer], of: Mapping[str, ConditionSummary]) -> list[str]:
    counts = {name: count for each in found for name, count in each.diverged.items()}
    if not counts:
        return []
    arms = ", ".join(f"{name}: {count}" for name, count in counts.items())
    changed = [
        each.verdict
        for each in found
        if each.verdict and each.without and each.verdict.claim != each.without.claim
    ]
    sensitive = "without them the verdicts are the same"
    if changed:
        pairs = "; ".join(
            " ".join(contrast(of[each.a].factors, of[each.b].factors)[::-1]) for each in changed
        )
        sensitive = f"without them the verdict is another for {pairs}"
    return [
        f"diverged replicates ({arms}) count with the last finite accuracy that they had, that of "
        f"guessing where they had none; {sensitive}"
    ]


def _cells(each: Answer, of: Mapping[str, ConditionSummary], asked: bool) -> list[str]:
    gap, arms = each.fixed.difference, _arms(each, of)
    assert gap.mean is not None
    mark = CONDITIONAL if any(arm.one_encoder for arm in arms) else ""
    sequence = _ends(*each.sequence) if each.sequence else "-"
    fixed = "" if gap.low is None or gap.high is None else f"\n({_ends(gap.low, gap.high)}{mark})"
    correlation = "" if each.correlation is None else f"\n({each.correlation:.2f})"
    where, what = contrast(of[each.fixed.a].factors, of[each.fixed.b].factors)
    looked = "" if each.verdict is None or each.verdict.p is None else p_text(each.verdict.p)
    holm = "" if each.fixed.p_adjusted is None else f"\n({p_text(each.fixed.p_adjusted)})"
    cells = [f"{what}\n{where}".strip(), f"{100 * gap.mean:+.1f}{_images(each)}", sequence + fixed]
    cells += [f"{gap.n}{correlation}", looked + holm]
    return [*cells, *([_verdict_text(each.verdict)] if asked else [])]


def _images(each: Answer) -> str:
    """Half the width of the interval over test images, below the mean."""
    if each.images is None or each.images.high is None or each.images.low is None:
        return ""
    return f"\n(±{50 * (each.images.high - each.images.low):.1f})"


def _verdict_text(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    words = [] if verdict.claim is None else [f"{verdict.claim} at {verdict.at_n}"]
    words += [f"equal at {verdict.equal_at_n}"] if verdict.equal else []
    return "\n".join(words) or ("none" if verdict.reason else "open")


def _arms(each: Answer, of: Mapping[str, ConditionSummary]) -> list[ConditionSummary]:
    return [of[each.fixed.a], of[each.fixed.b]]


def contrast(
    first: Mapping[str, Any], second: Mapping[str, Any], between: str = " - "
) -> tuple[str, str]:
    """What two conditions share, and the values in which they differ."""
    shared = [f"{key}={shown(value)}" for key, value in first.items() if second[key] == value]
    differing = [
        f"{shown(value)}{between}{shown(second[key])}"
        for key, value in first.items()
        if second[key] != value
    ]
    return " ".join(shared), " ".join(differing)


def _ends(low: float, high: float) -> str:
    return f"{100 * low:+.1f} .. {100 * high:+.1f}"


def p_text(p: float) -> str:
    return "<.0001" if p < 1e-4 else f"{p:.4f}"

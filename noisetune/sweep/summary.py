"""A sweep in words and tables, as Markdown: the description of its run in MLflow."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from noisetune.records import TrialRecord
from noisetune.sweep.spec.config import NO_RESULTS
from noisetune.sweep.study.comparing import question_of
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.winners import AnySweep, front_of, shared_choice
from noisetune.texts import counted

if TYPE_CHECKING:
    from rich.table import Table

LONGEST = 5000
"""Characters that MLflow takes of a description."""


def summary(sweep: AnySweep, ledger: Ledger, state: str) -> str:
    """The `state` of a sweep, how its trials stand, and its tables as far as they fit."""
    records, name = ledger.records(sweep.cells), sweep.config.name
    counts = Counter(each.state for each in records)
    states = ", ".join(f"{count} {each}" for each, count in counts.items()) or "none has begun"
    size = "" if ledger.size is None else f" of {ledger.size}"
    begins = f"Sweep `{name}` is {state}: {counted(len(records), 'trial')}{size}, {states}."
    parts = [begins, *([f"**{NO_RESULTS}**"] if sweep.config.smoke else [])]
    return _fitting(parts, _markdown(sweep, ledger, records) if records else [], name)


def _markdown(sweep: AnySweep, ledger: Ledger, records: Sequence[TrialRecord]) -> list[str]:
    # They take a moment to import, and a sweep that begins has none of it to show.
    from noisetune.analysis.rendering import as_markdown

    return [as_markdown(table).strip() for table in _tables(sweep, ledger, records)]


def _tables(sweep: AnySweep, ledger: Ledger, records: Sequence[TrialRecord]) -> "list[Table]":
    """The conditions and what is asked about them; with several goals the Pareto fronts."""
    from noisetune.analysis.comparisons import comparisons_table
    from noisetune.analysis.front import front_table
    from noisetune.analysis.shared_tables import shared_tables
    from noisetune.analysis.summaries import summarise
    from noisetune.analysis.tables import conditions_table

    goals = sweep.config.objective
    if goals.several:
        metrics = [goal.metric for goal in goals.goals]
        front = front_of(sweep, records)
        return [front_table(front, metrics, any(goal.oracle for goal in goals.goals))]
    summaries = summarise(records, goals.maximize)
    question = question_of(ledger, sweep.config, sweep.cells)
    compared = comparisons_table(summaries, question, question.epoch)
    adaptive = sweep.config.growing is not None
    shown = conditions_table(summaries, goals.metric, goals.oracle, adaptive)
    both = shared_choice(sweep, records)
    shared = [] if both is None else shared_tables(both, question)
    return [shown, *([compared] if compared.row_count else []), *shared]


def _fitting(parts: Sequence[str], tables: Sequence[str], name: str) -> str:
    """All of it; of what is too long the first lines, and where the rest is."""
    whole = "\n\n".join([*parts, *tables])
    if len(whole) <= LONGEST:
        return whole
    rest = f"\n\nAnd more: `noisetune status {name}`"
    return whole[: LONGEST - len(rest)].rpartition("\n")[0] + rest

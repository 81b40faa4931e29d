"""What it costs to choose an epoch without clean labels."""

from noisetune.analysis.selection_rules import selection_table
from noisetune.report.contents import Section
from noisetune.report.view import SweepView


def selection(view: SweepView) -> Section | None:
    """A table of the rules; none where goals are traded off, so that no trial stands for all."""
    if view.several:
        return None
    table = selection_table(view.summaries, view.question.adaptive)
    return None if table is None else Section("Choosing the epoch", tables={"selection": table})

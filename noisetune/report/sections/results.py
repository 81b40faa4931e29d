"""The main table, and the comparisons that it rests on."""

from rich.table import Table

from noisetune.analysis.comparisons import comparisons_table
from noisetune.analysis.front import front_table, pareto_front
from noisetune.analysis.gains import gains_table
from noisetune.analysis.main_table import main_table
from noisetune.analysis.shared_tables import shared_tables
from noisetune.report.contents import Section
from noisetune.report.view import SweepView


def results(view: SweepView) -> Section | None:
    """The conditions by accuracy and detection; with several goals their Pareto fronts."""
    tables = _front(view) if view.several else _conditions(view)
    return Section("Results", tables=tables) if tables else None


def _conditions(view: SweepView) -> dict[str, Table]:
    summaries, question = view.summaries, view.question
    if not any(each.winner for each in summaries):
        return {}
    asked = (question.epoch, view.maximize[0], question.adaptive, view.resolutions)
    tables = {"results": main_table(summaries, view.answers, *asked)}
    if view.answers:
        tables["comparisons"] = comparisons_table(summaries, question, None, view.kept)
    gains = gains_table(summaries, question)
    return tables | ({} if gains is None else {"gains": gains}) | _shared(view)


def _shared(view: SweepView) -> dict[str, Table]:
    """One setting over several conditions, where that is chosen, too."""
    if view.both is None:
        return {}
    names = "shared_setting", "shared_setting_comparisons"
    return dict(zip(names, shared_tables(view.both, view.question), strict=False))


def _front(view: SweepView) -> dict[str, Table]:
    points = pareto_front(view.records, view.maximize)
    return {"front": front_table(points, view.goals, view.oracle)} if points else {}

"""All that the tables of a sweep say, for a program."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

from noisetune.selection import CHOICES, Choice

if TYPE_CHECKING:
    from noisetune.analysis.summaries import ConditionSummary
    from noisetune.sweep.home import Home
    from noisetune.sweep.study.ledger import Ledger
    from noisetune.sweep.study.recorded import RecordedSweep


def standing_json(home: "Home", prepared: "RecordedSweep", ledger: "Ledger") -> dict[str, Any]:
    """State, counts, conditions, replicates, comparisons with their verdicts, what was spent, and
    what runs where a driver says so."""
    from noisetune.sweep.overview import stand
    from noisetune.sweep.study.recorded import standing_records
    from noisetune.sweep.watch.snapshot import read_snapshot

    standing, config = stand(home, prepared, ledger), prepared.config
    records = standing_records(home, ledger, prepared.cells)
    running = standing.state == "running"
    now = read_snapshot(home.status_file(config.name)) if running else None
    counts = {state: sum(each.state == state for each in records) for state in STATES}
    return plain(
        {
            "sweep": config.name,
            "state": standing.state,
            "ended": standing.ended,
            "size": standing.size,
            "counts": counts,
            "smoke": bool(config.smoke),
            "objective": config.objective.model_dump(mode="json"),
            "spent": ledger.spent,
            "budget": config.budget.model_dump(mode="json"),
            **(_front(prepared, records) if config.objective.several else {}),
            **({} if config.objective.several else _conditions(prepared, ledger, records)),
            "now": now,
        }
    )


STATES = ("complete", "pruned", "failed", "running", "interrupted")


def _conditions(
    prepared: "RecordedSweep", ledger: "Ledger", records: Sequence[Any]
) -> dict[str, Any]:
    from noisetune.analysis.gains import gains_of
    from noisetune.analysis.question import answers
    from noisetune.analysis.summaries import summarise
    from noisetune.sweep.study.comparing import question_of

    summaries = summarise(records, prepared.config.objective.maximize)
    question = question_of(ledger, prepared.config, prepared.cells)
    compared = {choice: answers(summaries, question, choice) for choice in CHOICES}
    return {
        "conditions": [_condition(each) for each in summaries],
        "asked_at": question.epoch,
        "comparisons": compared,
        "claims": ledger.claims,
        "gains": gains_of(summaries, question),
        **_shared(prepared, records, question.epoch),
    }


def _shared(prepared: "RecordedSweep", records: Sequence[Any], epoch: Choice) -> dict[str, Any]:
    """One setting over several conditions, and what each loses with it, where that is chosen."""
    from noisetune.analysis.shared_tables import losses, overall_loss
    from noisetune.sweep.winners import shared_choice

    both = shared_choice(prepared, records)
    if both is None:
        return {}
    lost, overall = losses(both, epoch), overall_loss(both, epoch)
    conditions = [_condition(each) | {"loses": lost.get(each.name)} for each in both.shared]
    shared = {"across": both.across, "conditions": conditions, "loses": overall and overall.gain}
    return {"shared": shared}


def _condition(summary: "ConditionSummary") -> dict[str, Any]:
    from noisetune.analysis.detectors import detector_scores
    from noisetune.analysis.metric_tables import GROUPS, metric_intervals, metrics_of
    from noisetune.analysis.selection_rules import rule_of
    from noisetune.analysis.statistics import mean_interval

    winner = summary.winner
    chosen = ("name", "kind", "objective", "parameters", "metrics")
    replicates = {
        choice: {"values": values, "interval": mean_interval(list(values.values()))}
        for choice, values in summary.replicates.items()
    }
    return {
        "condition": summary.name,
        "factors": summary.factors,
        "counts": summary.counts,
        "winner": None if winner is None else {key: getattr(winner, key) for key in chosen},
        "replicates": replicates,
        "replicate_objectives": summary.replicate_objectives,
        "planned": summary.planned,
        "waiting": summary.waiting,
        "diverged": summary.diverged,
        "failed": summary.failed,
        "ties": summary.ties,
        "kendall_tau": summary.tau,
        "conditional_on_one_encoder": summary.one_encoder,
        "selection": {choice: rule_of(summary, choice) for choice in CHOICES},
        "detectors": detector_scores(summary),
        "metrics": {group: metric_intervals(summary, metrics_of(group)) for group in GROUPS},
    }


def _front(prepared: "RecordedSweep", records: Sequence[Any]) -> dict[str, Any]:
    from noisetune.sweep.winners import front_of

    return {"front": front_of(prepared, records)}


def plain(value: Any) -> Any:
    """The value as JSON has it: what is no finite number is null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value

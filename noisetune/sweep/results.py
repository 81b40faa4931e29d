"""What a sweep has found so far, as pandas frames."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from noisetune.analysis.question import Answer, answers
from noisetune.analysis.statistics import mean_interval
from noisetune.analysis.summaries import summarise
from noisetune.errors import UserError
from noisetune.predictions import Predictions
from noisetune.records import TrialRecord
from noisetune.selection import Choice
from noisetune.sweep.home import Home
from noisetune.sweep.study.comparing import question_of
from noisetune.sweep.study.recorded import RecordedSweep, recorded_sweep, standing_records
from noisetune.sweep.winners import Rule, offered
from noisetune.tracking.outbox import read_messages

CURVES = ["trial", "stage", "step", "metric", "value"]
END = ["kind", "number", "state", "reason"]
COMPARISON = [
    *("a", "b", "n", "difference", "low", "high", "p_holm", "sequence_low", "sequence_high"),
    *("p", "claim", "claimed_at", "equal", "correlation"),
]
ACCURACY = ["replicates", "accuracy", "accuracy_low", "accuracy_high", "one_encoder"]


def load_sweep(
    name: str, *, mlruns: str | Path = "mlruns", ledger: str | None = None
) -> "SweepResults":
    """The results of a sweep that was begun, finished or not.

    Parameters:
        name: the sweep's name.
        mlruns: the folder that it was run in.
        ledger: the database that has its ledger, where a password is needed that is not noted.

    Raises UserError, with those there are, where there is none of this name.
    """
    results = SweepResults(name, Home(Path(mlruns), ledger))
    recorded_sweep(results.home, name)
    return results


@dataclass(frozen=True)
class SweepResults:
    """What a sweep has found, read afresh with each call, for it may be running.

    In a frame of trials, factors and parameters have a column each, named as in the search space
    (`noise.rate`, `finetune.lr`). Its objective is in `objective`, and each further goal in
    `objective METRIC`.
    """

    name: str
    home: Home

    def trials(self) -> pd.DataFrame:
        """One row a trial, as the ledger has them: searched or `replicate`, ended or not.

        Metrics are those of the ended trial: accuracies in 0..1, NaN where they are undefined.
        """
        sweep, records = self._read()
        return _side_by_side(
            _frame(((each.name, each.condition) for each in records), ["trial", "condition"]),
            _columns(each.factors for each in records),
            _frame(((each.kind, each.number, each.state, each.reason) for each in records), END),
            _columns(each.parameters for each in records),
            _objectives(sweep, records),
            _columns(each.metrics for each in records).astype(float),
        )

    def curves(self) -> pd.DataFrame:
        """One row a metric and epoch of a trial: `trial`, `stage`, `step`, `metric`, `value`.

        `step` counts the stage's epochs from 1; `detect` has the single step 0.
        """
        rows = _frame(self._points(), CURVES)
        # A trial that is taken up again tells its epochs again.
        told_once = rows.drop_duplicates(["trial", "metric", "step"], ignore_index=True)
        return told_once.astype({"value": float})

    def winners(self, epoch: Choice = "noisy_best", rule: Rule = "own") -> pd.DataFrame:
        """One row a condition with its winner; of several goals, one row a trial of its front.

        `rule`: with the setting that it chose for itself (`own`), or with that which it shares
        over the factors of `settings.shared_across` (`shared`), as far as that is chosen.

        `accuracy` is the mean clean test accuracy (0..1) of its `replicates` on fresh seeds, at
        the `epoch` that is last, best by noisy validation, where Label Wave stops, or best by clean
        test labels (oracle);
        `accuracy_low` and `accuracy_high` bound its 95 % interval (bootstrap-t; Student's t up to
        five), NaN for fewer than two. With `one_encoder` the interval is conditional on the encoder
        that they share.
        """
        sweep, records = self._read()
        if rule == "shared" and not sweep.config.shared_across:
            raise UserError(
                f"rule: shared: sweep {self.name!r} chooses no setting over several conditions; "
                "ask for rule own, or go on with it by --set settings.shared_across=[FACTOR]"
            )
        points = offered(sweep, records, rule)
        chosen = [point.trial for point in points]
        again = [mean_interval(point.replicates[epoch].values()) for point in points]
        found = [
            (each.n, each.mean, each.low, each.high, trial.one_encoder)
            for each, trial in zip(again, chosen, strict=True)
        ]
        return _side_by_side(
            _frame(((each.condition,) for each in chosen), ["condition"]),
            _columns(each.factors for each in chosen),
            _frame(((each.name,) for each in chosen), ["trial"]),
            _columns(each.parameters for each in chosen),
            _objectives(sweep, chosen),
            _frame(found, ACCURACY).astype(dict.fromkeys(ACCURACY[1:4], float)),
        )

    def comparisons(self, epoch: Choice | None = None) -> pd.DataFrame:
        """One row a comparison that the sweep asks about: `a` minus `b`, in accuracy (0..1).

        `low`, `high` and `p_holm` hold where the number of replicates `n` was fixed beforehand;
        `sequence_low`, `sequence_high` (95 %), `p`, `claim` (`a` is above or below, the first time
        at `claimed_at`) and `equal` hold at every look. `correlation` is that of the paired arms.
        At another `epoch` than the one that the sweep asks about there is no `p` and no claim.
        """
        sweep, ledger = recorded_sweep(self.home, self.name)
        records = standing_records(self.home, ledger, sweep.cells)
        summaries = summarise(records, sweep.config.objective.maximize)
        question = question_of(ledger, sweep.config, sweep.cells)
        found = answers(summaries, question, epoch or question.epoch)
        return _frame(map(_comparison, found), COMPARISON)

    def predictions(self, trial: str) -> Predictions | None:
        """What a trial predicts of each test image, with labels and the scores of its detectors.

        None for a trial that has not ended, or ended before they were kept. UserError for a damaged
        file.
        """
        return self.home.predictions(self.name).read(trial)

    def _read(self) -> tuple[RecordedSweep, list[TrialRecord]]:
        sweep, ledger = recorded_sweep(self.home, self.name)
        return sweep, standing_records(self.home, ledger, sweep.cells)

    def _points(self) -> Iterator[tuple[Any, ...]]:
        for message in read_messages(self.home.outbox(self.name)):
            if message["kind"] == "point":
                where = message["trial"], message.get("stage"), message["step"]
                yield from ((*where, metric, value) for metric, value in message["values"].items())


def _comparison(answer: Answer) -> tuple[Any, ...]:
    gap, verdict = answer.fixed.difference, answer.verdict
    judged: tuple[Any, ...] = (None, None, None, False)
    if verdict is not None:
        judged = (verdict.p, verdict.claim, verdict.at_n, verdict.equal)
    return (
        *(answer.fixed.a, answer.fixed.b, gap.n, gap.mean, gap.low, gap.high),
        answer.fixed.p_adjusted,
        *(answer.sequence or (None, None)),
        *judged,
        answer.correlation,
    )


def _objectives(sweep: RecordedSweep, records: Sequence[TrialRecord]) -> pd.DataFrame:
    further = sweep.config.objective.goals[1:]
    names = ["objective", *(f"objective {goal.metric}" for goal in further)]
    values = [each.objectives or [None] * len(names) for each in records]
    return _frame(values, names).astype(float)


def _frame(rows: Iterable[Sequence[Any]], names: list[str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=names)


def _columns(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """A column for each name in any of the rows, in the order in which they come."""
    return pd.DataFrame(list(rows))


def _side_by_side(*parts: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(parts, axis="columns")

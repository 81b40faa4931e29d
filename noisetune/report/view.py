"""All that a report is drawn from, as it stood at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from noisetune.analysis.question import Answer, Question, answers
from noisetune.analysis.shared_tables import SharedChoice
from noisetune.analysis.summaries import ConditionSummary, summarise
from noisetune.predictions import Held, Predictions
from noisetune.records import TrialRecord

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

Curve = tuple[tuple[int, float], ...]
"""Values by epoch (1-based), in their order."""


@dataclass(frozen=True, eq=False)
class SweepView:
    """A sweep, or several that are compared, at one moment.

    `state` is `running`, `finished` or `stopped`; `size` how many trials it is to have, None where
    that is not known. `goals` are the metrics of its objective, the first of which trials are
    ranked by; `oracle` says that one of them sees the truth. `definition` is the sweep and its
    search space as they were given. `curves` are by trial and metric, those of the look at an
    encoder before fine-tuning as `gate/METRIC`; `seconds` by trial and stage; `searched` are
    Optuna's trials of each condition; `spent` is in hours; `drives` say where it was driven.
    `resolutions` are the standard errors, by condition and in clean accuracy (0..1), of the noisy
    score that its method is chosen by. `both` are the two ways of choosing a setting, of a sweep
    that has one over several conditions, too. It is drawn alike whenever it is the same: nothing in
    it is of the moment of drawing.
    """

    name: str
    state: str
    records: tuple[TrialRecord, ...]
    question: Question
    size: int | None = None
    goals: tuple[str, ...] = ("val/accuracy",)
    maximize: tuple[bool, ...] = (True,)
    oracle: bool = False
    notices: tuple[str, ...] = ()
    definition: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, Mapping[str, Curve]] = field(default_factory=dict)
    predictions: Mapping[str, Predictions] = field(default_factory=dict)
    searched: Mapping[str, tuple["FrozenTrial", ...]] = field(default_factory=dict)
    seconds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    spent: Mapping[str, float] = field(default_factory=dict)
    drives: tuple[Mapping[str, Any], ...] = ()
    resolutions: Mapping[str, float] = field(default_factory=dict)
    commands: tuple[str, ...] = ()
    both: SharedChoice | None = None

    @property
    def metric(self) -> str:
        """What trials are ranked by."""
        return self.goals[0]

    @property
    def several(self) -> bool:
        """Whether it trades goals off, so that nothing wins."""
        return len(self.goals) > 1

    @cached_property
    def summaries(self) -> list[ConditionSummary]:
        return summarise(self.records, self.maximize[0])

    @cached_property
    def answers(self) -> list[Answer]:
        """What is known of each pair that is asked about and has replicates."""
        found = answers(self.summaries, self.question, self.question.epoch, self.kept)
        return [each for each in found if each.fixed.difference.mean is not None]

    @property
    def kept(self) -> Held:
        """The predictions, as those who compare read them."""
        return Held(self.predictions)

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return sum(each.state not in ("running", "interrupted") for each in self.records)

    def again(self, summary: ConditionSummary) -> list[TrialRecord]:
        """The runs that stand for a condition: its replicates, else the trial that was chosen."""
        if summary.runs:
            return list(summary.runs)
        return [] if summary.winner is None else [summary.winner]

"""What is known of one condition of a sweep: its studies, its winner, how many trials it gets."""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from noisetune.analysis.summaries import accuracies
from noisetune.records import Kind, TrialRecord
from noisetune.section import Scalar
from noisetune.selection import best_trial
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.study.comparing import Arm, digest
from noisetune.sweep.study.ledger import AGAIN, Ledger, own_trials, record, standing, trial_name
from noisetune.sweep.study.suggest import bring_in
from noisetune.sweep.study.untried import Untried


@dataclass
class Asked:
    """A study of Optuna, and how many trials were asked of it and ended."""

    study: optuna.Study
    count: int
    ended: int

    @classmethod
    def of(cls, study: optuna.Study) -> Self:
        """As the ledger has it; a failed trial that is run again has left its place to that."""
        states = [trial.state for trial in standing(own_trials(study))]
        return cls(study, len(states), sum(state.is_finished() for state in states))

    def ask(self) -> optuna.Trial:
        """A new trial of Optuna's, counted."""
        self.count += 1
        return self.study.ask()

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Those of these states, or all; without what an earlier sweep gave or is enqueued."""
        return own_trials(self.study, states or None)


class ConditionState:
    """One condition while its sweep runs; all that it knows comes from the ledger.

    `search` and `replicates` are what was asked of its two studies, `wanted` is how many replicates
    each setting that is chosen is to have.
    """

    def __init__(
        self, condition: Condition, config: SweepConfig, ledger: Ledger, pruner: BasePruner
    ) -> None:
        self.condition, self.config = condition, config
        directions = config.objective.directions
        search = ledger.study(condition.name, "search", directions, pruner)
        replicates = ledger.study(condition.name, "replicate", directions, None)
        bring_in(condition, search, ledger, config)
        self.search, self.replicates = Asked.of(search), Asked.of(replicates)
        self.search_ended = False
        self.wanted = config.first_replicates

    def asked(self, kind: Kind) -> Asked:
        """What was asked of its search, or of its replicates."""
        return self.search if kind == "search" else self.replicates

    @cached_property
    def untried(self) -> Untried:
        """What an exhaustive search has still to try."""
        return Untried(self.condition, self.config, standing(self.search.trials()))

    @property
    def size(self) -> int:
        """How many trials the condition is to have, replicates included."""
        winners = len(self.chosen()) if self.config.objective.several else 1
        return self.search_size + winners * self.wanted

    @property
    def ended(self) -> int:
        """How many of its trials have ended, replicates included."""
        return self.search.ended + self.replicates.ended

    @property
    def search_size(self) -> int:
        """How many search trials it gets: a fixed recipe with replicates needs none."""
        if not self.condition.parameters:
            return 0 if self.config.first_replicates else 1
        size: float = self.config.trials_per_condition
        if self.config.sampler_kind.exhaustive:
            size = min(size, len(self.untried.settings)) + self.untried.repeats
        if self.search_ended:
            size = min(size, self.search.count)
        return int(min(size, self._stalled_at()))

    @property
    def may_ask(self) -> bool:
        """Whether a search trial may be asked for now."""
        busy = self.search.ended < self.search.count
        return self.search.count < self.search_size and not (self.config.repeatable and busy)

    @property
    def searched(self) -> bool:
        """Whether every search trial was asked for and has ended."""
        return self.search.ended == self.search.count >= self.search_size

    def search_name(self, trial: FrozenTrial) -> str:
        """What a search trial is called everywhere."""
        return trial_name(self.condition.name, "search", trial.number)

    def winner(self) -> FrozenTrial | None:
        """The best complete search trial by a single goal."""
        complete = self.search.trials(TrialState.COMPLETE)
        return best_trial(complete, lambda trial: trial.value, self.config.objective.maximize)

    def chosen(self) -> list[dict[str, Scalar]]:
        """The settings that are run again: the winner's, or of several goals those named."""
        if not self.condition.parameters:
            return [{}]
        if self.config.objective.several:
            complete, names = self.search.trials(TrialState.COMPLETE), self.config.replicate
            trials = [trial for trial in complete if self.search_name(trial) in names]
        else:
            winner = self.winner()
            trials = [] if winner is None else [winner]
        settings: list[dict[str, Scalar]] = []
        for trial in trials:
            if trial.user_attrs["parameters"] not in settings:
                settings.append(trial.user_attrs["parameters"])
        return settings

    def replicates_left(self) -> int:
        """Replicates to ask for of what was chosen so far."""
        counts = [len(self._replicated(settings)) for settings in self.chosen()]
        return sum(max(0, self.wanted - count) for count in counts)

    def next_replicate(self, before: float = math.inf) -> tuple[dict[str, Scalar], int] | None:
        """Settings and seed (1-based) of the next replicate, as it stood when the replicates
        numbered under `before` had been asked for; None while the search goes on, and where all
        were asked for."""
        if not self.searched:
            return None
        for settings in self.chosen():
            earlier = [trial for trial in self._replicated(settings) if trial.number < before]
            if len(earlier) < self.wanted:
                return settings, len(earlier) + 1
        return None

    def _replicated(self, settings: dict[str, Scalar]) -> list[FrozenTrial]:
        """The replicates of a setting, each of its own seed, without those that were run again.

        An extended search may have chosen another setting since.
        """
        return [
            trial
            for trial in self.replicates.trials()
            if trial.user_attrs.get("parameters", settings) == settings
            and AGAIN not in trial.user_attrs
        ]

    def arm(self) -> Arm:
        """The condition in a comparison: what it runs, and what its replicates came to."""
        if not self.searched:
            return Arm()
        chosen = self.chosen()
        if not chosen:
            return Arm(hopeless=True)
        runs = self._runs(chosen[0])
        ended = {run.seed for run in runs if run.state != "running"}
        leading = next(seed for seed in itertools.count() if seed + 1 not in ended)
        values = accuracies(runs, self.config.comparisons.epoch)
        return Arm(
            setting=digest(chosen[0]),
            values={seed: value for seed, value in values.items() if seed <= leading},
            ended=leading,
            one_encoder=any(run.one_encoder for run in runs),
        )

    def _runs(self, settings: dict[str, Scalar]) -> list[TrialRecord]:
        """The replicates of a setting that have begun; of one that was run again, the last run."""
        name, factors = self.condition.name, self.condition.factors
        return [
            record(trial, name, factors, "replicate")
            for trial in standing(self.replicates.trials())
            if trial.user_attrs.get("parameters") == settings and "config" in trial.user_attrs
        ]

    def _stalled_at(self) -> float:
        """After how many trials the search ends because `patience` of them improved nothing."""
        patience = self.config.patience
        if patience is None:
            return math.inf
        trials = standing(self.search.trials())
        ended = [trial for trial in trials if trial.state.is_finished()]
        gain = self._last_gain()
        if gain is None or sum(trial.number > gain for trial in ended) < patience:
            return math.inf
        return len(trials)

    def _last_gain(self) -> int | None:
        """The number of the last trial that was better than all before it, in some trade-off."""
        if not self.config.objective.several:
            winner = self.winner()
            return None if winner is None else winner.number
        # A setting that was drawn again is exactly as good, and no gain.
        first: dict[tuple[float, ...], int] = {}
        for trial in self.search.trials(TrialState.COMPLETE):
            first.setdefault(tuple(trial.values), trial.number)
        front = {tuple(trial.values) for trial in self.search.study.best_trials}
        gains = [number for values, number in first.items() if values in front]
        return max(gains, default=-1) if first else None

"""One search of a condition: what was asked of it, how many trials it gets, who won."""

import math
from functools import cached_property

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from noisetune.records import TrialRecord
from noisetune.selection import best_trial
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.study.ledger import (
    DIVERGED,
    MACHINE,
    NOBODY,
    WINNER,
    Ledger,
    own_trials,
    record,
    search_name,
    standing,
    trial_name,
)
from noisetune.sweep.study.suggest import bring_in
from noisetune.sweep.study.untried import Untried


class Asked:
    """A study of Optuna, and how many trials were asked of it and ended.

    As the ledger has it; a failed trial that is run again has left its place to that.
    """

    def __init__(self, study: optuna.Study) -> None:
        states = [trial.state for trial in standing(own_trials(study))]
        self.study, self.count = study, len(states)
        self.ended = sum(state.is_finished() for state in states)

    def ask(self) -> optuna.Trial:
        """A new trial of Optuna's, counted."""
        self.count += 1
        return self.study.ask()

    def tell(self, trial: optuna.Trial, values: list[float] | None, state: TrialState) -> None:
        """Tell Optuna how a trial ended, and count it."""
        self.study.tell(trial, values, state)
        self.ended += 1

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Those of these states, or all; without what an earlier sweep gave or is enqueued."""
        return own_trials(self.study, states or None)


class SearchState(Asked):
    """One search of a condition.

    Of one that is a replicate `seed` is its number, from 1, and `winner_number` who won, once that
    is written down; another has seed 0. `cut` says that it asks for no more trials.
    """

    def __init__(
        self,
        condition: Condition,
        config: SweepConfig,
        ledger: Ledger,
        pruner: BasePruner,
        seed: int = 0,
    ) -> None:
        self.condition, self.config, self.seed = condition, config, seed
        directions = config.objective.directions
        study = ledger.study(condition.name, "search", directions, pruner, seed)
        bring_in(condition, study, ledger, config)
        super().__init__(study)
        self.cut = False
        self.winner_number: int | None = study.user_attrs.get(WINNER)

    @property
    def name(self) -> str:
        """What it is called: what it draws derives from that."""
        return search_name(self.condition.name, self.seed)

    def trial_name(self, trial: FrozenTrial) -> str:
        """What a trial of it is called everywhere."""
        return trial_name(self.condition.name, "search", trial.number, self.seed)

    @cached_property
    def untried(self) -> Untried:
        """What an exhaustive search has still to try."""
        return Untried(self.condition, self.config, self.name, standing(self.trials()))

    @property
    def size(self) -> int:
        """How many trials it gets."""
        return min(self._whole_size, self.count) if self.cut else self._whole_size

    @property
    def may_ask(self) -> bool:
        """Whether a trial may be asked for now."""
        busy = self.ended < self.count
        return self.count < self.size and not (self.config.repeatable and busy)

    @property
    def over(self) -> bool:
        """Whether every trial was asked for and has ended."""
        return self.ended == self.count >= self.size

    @property
    def _whole_size(self) -> int:
        """How many trials it gets where nothing cuts it short."""
        if self.winner_number is not None:
            return self.count
        if not self.condition.parameters:
            # A fixed recipe that is run again as it is needs no search.
            return 1 if self.seed or not self.config.first_replicates else 0
        size: float = self.config.search_trials
        if self.config.sampler_kind.exhaustive:
            size = min(size, len(self.untried.settings)) + self.untried.repeats
        return int(min(size, self._stalled_at()))

    def winner(self) -> FrozenTrial | None:
        """The best complete trial by a single goal."""
        complete = self.trials(TrialState.COMPLETE)
        return best_trial(complete, lambda trial: trial.value, self.config.objective.maximize)

    def close(self) -> None:
        """Write down who won, of a replicate that is over and of which no trial is to run again.

        Where no trial completed that is the first that diverged: it counts as what it had come to.
        """
        whole = self.ended == self.count >= self._whole_size
        if not self.seed or self.winner_number is not None or not whole:
            return
        failed = [each for each in standing(self.trials()) if each.state == TrialState.FAIL]
        if any(MACHINE in trial.user_attrs for trial in failed):
            return
        diverged = [trial for trial in failed if DIVERGED in trial.user_attrs]
        winner = self.winner() or next(iter(diverged), None)
        self.winner_number = NOBODY if winner is None else winner.number
        self.study.set_user_attr(WINNER, self.winner_number)

    @cached_property
    def won(self) -> TrialRecord | None:
        """The winner, of a search that is closed; None where no trial came to a value."""
        named = (trial for trial in self.trials() if trial.number == self.winner_number)
        name, factors = self.condition.name, self.condition.factors
        return next((record(trial, name, factors, "search", self.seed) for trial in named), None)

    def _stalled_at(self) -> float:
        """After how many trials the search ends because `patience` of them improved nothing."""
        patience = self.config.patience
        if patience is None:
            return math.inf
        trials = standing(self.trials())
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
        for trial in self.trials(TrialState.COMPLETE):
            first.setdefault(tuple(trial.values), trial.number)
        front = {tuple(trial.values) for trial in self.study.best_trials}
        gains = [number for values, number in first.items() if values in front]
        return max(gains, default=-1) if first else None

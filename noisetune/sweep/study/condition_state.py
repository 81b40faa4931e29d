"""What is known of one condition of a sweep: its search, its winner, its replicates."""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence

from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from noisetune.analysis.summaries import accuracies
from noisetune.records import TrialRecord
from noisetune.section import Scalar
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.study.block import Block
from noisetune.sweep.study.comparing import Arm, digest
from noisetune.sweep.study.ledger import AGAIN, Ledger, record, standing
from noisetune.sweep.study.search_state import Asked, SearchState

Due = tuple[dict[str, Scalar], int]
"""Settings and seed (1-based) of a replicate."""


class ConditionState(ABC):
    """One condition while its sweep runs; all that it knows comes from the ledger.

    `searches` are those that it has, `replicates` what runs beside them, `wanted` is how many
    replicates it is to have.
    """

    def __init__(self, condition: Condition, config: SweepConfig) -> None:
        self.condition, self.config = condition, config
        self.searches: list[SearchState] = []
        self.replicates: list[Asked] = []
        self.wanted = config.first_replicates

    @property
    @abstractmethod
    def size(self) -> int:
        """How many trials the condition is to have, replicates included."""

    @property
    def count(self) -> int:
        """How many trials were asked for, replicates included."""
        return sum(each.count for each in (*self.searches, *self.replicates))

    def replicated(self) -> int:
        """How many replicates were asked for beside the searches."""
        return sum(each.count for each in self.replicates)

    @property
    def ended(self) -> int:
        """How many of its trials have ended, replicates included."""
        return sum(each.ended for each in (*self.searches, *self.replicates))

    @property
    def searched(self) -> bool:
        """Whether every search trial was asked for and has ended."""
        return all(search.over for search in self.searches)

    def want(self, replicates: int) -> None:
        """So many replicates it is to have from now on."""
        self.wanted = replicates

    def end_search(self) -> bool:
        """Ask for no more search trials, so that what won runs again; whether that is new."""
        return False

    def close(self) -> None:
        """Write down who won, of the searches that are replicates and are over."""
        for search in self.searches:
            search.close()

    def replicates_to_come(self) -> int:
        """Replicates that follow the search, and are not asked for yet."""
        return 0

    def next_replicate(self, before: float = math.inf) -> Due | None:
        """Settings and seed of the next replicate that follows the search, as it stood when the
        replicates numbered under `before` had been asked for; None while the search goes on, and
        where all were asked for."""
        return None

    @abstractmethod
    def arm(self) -> Arm:
        """The condition in a comparison: what it runs, and what its replicates came to."""

    def _arm(self, setting: str, runs: Sequence[TrialRecord], ended: Collection[int]) -> Arm:
        """From the runs of those leading seeds that have all ended."""
        leading = next(seed for seed in itertools.count() if seed + 1 not in ended)
        values = accuracies(runs, self.config.comparisons.epoch)
        return Arm(
            setting=setting,
            values={seed: value for seed, value in values.items() if seed <= leading},
            ended=leading,
            one_encoder=any(run.one_encoder for run in runs),
        )


class WinnerAgain(ConditionState):
    """A condition with one search; its replicates run the settings that are chosen there again.

    `block` are the conditions that it shares a setting with, where that is asked for.
    """

    def __init__(
        self, condition: Condition, config: SweepConfig, ledger: Ledger, pruner: BasePruner
    ) -> None:
        super().__init__(condition, config)
        self.search = SearchState(condition, config, ledger, pruner)
        directions = config.objective.directions
        self.block: Block | None = None
        self.again = Asked(ledger.study(condition.name, "replicate", directions, None))
        self.searches, self.replicates = [self.search], [self.again]

    @property
    def size(self) -> int:
        """How many trials the condition is to have, replicates included."""
        if self._shares:
            winners = 2
        elif self.config.objective.several or self.block is not None:
            winners = len(self.chosen())
        else:
            winners = 1
        return self.search.size + winners * self.wanted

    @property
    def _shares(self) -> bool:
        """Whether it is to share a setting that is not chosen yet."""
        return self.block is not None and not self.block.over

    def end_search(self) -> bool:
        """Ask for no more search trials; whether that is new."""
        new, self.search.cut = not self.search.cut, True
        return new

    def chosen(self) -> list[dict[str, Scalar]]:
        """The settings that are run again: the winner's, and that which its block shares where
        that is another; or of several goals those named."""
        if not self.condition.parameters:
            return [{}]
        if self.config.objective.several:
            complete, names = self.search.trials(TrialState.COMPLETE), self.config.replicate
            trials = [trial for trial in complete if self.search.trial_name(trial) in names]
        else:
            winner = self.search.winner()
            trials = [] if winner is None else [winner]
        shared = None if self.block is None else self.block.setting()
        chosen = [trial.user_attrs["parameters"] for trial in trials]
        settings: list[dict[str, Scalar]] = []
        for each in [*chosen, *([] if shared is None else [shared])]:
            if each not in settings:
                settings.append(each)
        return settings

    def replicates_to_come(self) -> int:
        """Replicates to ask for of what was chosen so far, or of a winner to be."""
        later = self.config.first_replicates if self._shares else 0
        if not self.searched and not self.config.objective.several:
            return later + self.config.first_replicates
        counts = [len(self._replicated(settings)) for settings in self.chosen()]
        return later + sum(max(0, self.wanted - count) for count in counts)

    def next_replicate(self, before: float = math.inf) -> Due | None:
        """Settings and seed (1-based) of the next replicate of what was chosen."""
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
            for trial in self.again.trials()
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
        return self._arm(digest(chosen[0]), runs, ended)

    def _runs(self, settings: dict[str, Scalar]) -> list[TrialRecord]:
        """The replicates of a setting that have begun; of one that was run again, the last run."""
        name, factors = self.condition.name, self.condition.factors
        return [
            record(trial, name, factors, "replicate")
            for trial in standing(self.again.trials())
            if trial.user_attrs.get("parameters") == settings and "config" in trial.user_attrs
        ]

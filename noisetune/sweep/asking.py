"""Asking Optuna: one study per condition, a sampler seeded for each ask, trials taken up again."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from noisetune.config import TrialConfig
from noisetune.records import TrialRecord
from noisetune.seeds import derive_seed
from noisetune.sweep.conditions import Condition
from noisetune.sweep.config import SweepConfig
from noisetune.sweep.drawing import bring_in, grid, suggest
from noisetune.sweep.ledger import Kind, Ledger, own_trials, trial_name
from noisetune.sweep.pruners import build_pruner
from noisetune.sweep.samplers import SEQUENTIAL, build_sampler, split
from noisetune.sweep.space import Scalar

GPU_SHARE = "gpu_share"


@dataclass
class Job:
    """A trial that was asked for. `pretraining` is the digest of what it computes, until it has.

    `reported` are the epochs that Optuna was told of before the sweep was interrupted; `gpu` is
    its share of a GPU, which grows when its memory runs out.
    """

    condition: Condition
    kind: Kind
    trial: optuna.Trial
    study: optuna.Study
    config: TrialConfig
    parameters: dict[str, Scalar]
    pretraining: str | None = None
    seen: set[tuple[str, int]] = field(default_factory=set)
    reported: frozenset[int] = frozenset()
    best: float | None = None
    open: bool = True
    begun: bool = False
    restarts: int = 0
    gpu: float = 0.0

    @property
    def name(self) -> str:
        return trial_name(self.condition.name, self.kind, self.trial.number)

    def record(self) -> TrialRecord:
        """The trial as it runs."""
        return TrialRecord(
            name=self.name,
            condition=self.condition.name,
            factors=self.condition.factors,
            kind=self.kind,
            number=self.trial.number,
            state="running",
            parameters=self.parameters,
            config=self.config.to_json(),
        )


class Asker:
    """Asks for search trials and replicates; counts what was asked for and what ended."""

    def __init__(
        self, config: SweepConfig, conditions: Sequence[Condition], ledger: Ledger
    ) -> None:
        self.config, self.conditions = config, list(conditions)
        direction, pruner = config.objective.direction, build_pruner(config.pruner)
        self.studies: dict[Kind, list[optuna.Study]] = {
            "search": [
                ledger.study(each.name, "search", direction, pruner) for each in self.conditions
            ],
            "replicate": [
                ledger.study(each.name, "replicate", direction, None) for each in self.conditions
            ],
        }
        for condition, study in zip(self.conditions, self.studies["search"], strict=True):
            bring_in(condition, study, ledger, config)
        self.search_ended = False
        self.asked: dict[Kind, list[int]] = {}
        self.ended: dict[Kind, list[int]] = {}
        for kind, studies in self.studies.items():
            states = [[trial.state for trial in own_trials(study)] for study in studies]
            self.asked[kind] = [len(each) for each in states]
            self.ended[kind] = [sum(state.is_finished() for state in each) for each in states]

    def search_size(self, condition: Condition) -> int:
        """How many search trials a condition gets: a fixed recipe with replicates needs none."""
        if not condition.parameters:
            return 0 if self.config.replicates else 1
        size: float = self.config.trials_per_condition
        if split(self.config.sampler)[0] == "grid":
            size = min(size, math.prod(map(len, grid(condition).values())))
        elif split(self.config.sampler)[0] == "brute_force":
            size = min(size, condition.settings)
        if self.search_ended:
            size = min(size, self.asked["search"][condition.index])
        return int(min(size, self._stalled_at(condition)))

    def search(self) -> Job | None:
        """The next search trial, of the condition with the fewest; None where all were asked."""
        waiting = [
            each
            for each in self.conditions
            if self.asked["search"][each.index] < self.search_size(each)
        ]
        if not waiting:
            return None
        condition = min(waiting, key=lambda each: (self.asked["search"][each.index], each.index))
        number = self.asked["search"][condition.index]
        study = self.studies["search"][condition.index]
        study.sampler = self._sampler(condition, number)
        self.asked["search"][condition.index] += 1
        return self._suggest(condition, study.ask())

    def replicate(self) -> Job | None:
        """The next replicate of a condition whose search is over; None where there is none."""
        for condition in self.conditions:
            if self._replicates_left(condition):
                self.asked["replicate"][condition.index] += 1
                trial = self.studies["replicate"][condition.index].ask()
                return self._replicate(condition, trial)
        return None

    def replicates_to_come(self) -> int:
        """Replicates that are not asked for yet, also of conditions whose search goes on."""
        return sum(
            self._replicates_left(each) if self._searched(each) else self.config.replicates
            for each in self.conditions
        )

    def asked_in_all(self) -> int:
        return sum(map(sum, self.asked.values()))

    def all_searched(self) -> bool:
        return all(map(self._searched, self.conditions))

    def end_search(self) -> None:
        """Ask for no more search trials: what is left of the budget is for replicates."""
        self.search_ended = True

    def interrupted(self) -> Iterator[tuple[Condition, Kind, FrozenTrial]]:
        """The trials that the ledger says are running: nobody runs them any more."""
        for kind, studies in self.studies.items():
            for condition, study in zip(self.conditions, studies, strict=True):
                for trial in own_trials(study, (TrialState.RUNNING,)):
                    yield condition, kind, trial

    def marked(self, mark: str) -> Iterator[tuple[Condition, str, Any]]:
        """The search trials whose attributes hold a mark: condition, name and what it says."""
        for condition, study in zip(self.conditions, self.studies["search"], strict=True):
            for trial in own_trials(study):
                if mark in trial.user_attrs:
                    name = trial_name(condition.name, "search", trial.number)
                    yield condition, name, trial.user_attrs[mark]

    def take_up(self, condition: Condition, kind: Kind, frozen: FrozenTrial) -> Job:
        """An interrupted trial, as the same Optuna trial; what was not yet drawn is drawn now."""
        study = self.studies[kind][condition.index]
        if "config" in frozen.user_attrs:
            config = TrialConfig.parse(frozen.user_attrs["config"], "ledger")
            parameters = frozen.user_attrs["parameters"]
            trial = optuna.Trial(study, frozen._trial_id)
            reported = frozenset(frozen.intermediate_values)
            gpu = max(frozen.user_attrs.get(GPU_SHARE, 0.0), self.config.resources.gpu)
            return Job(
                condition, kind, trial, study, config, parameters, reported=reported, gpu=gpu
            )
        if kind == "replicate":
            trial = optuna.Trial(study, frozen._trial_id)
            return self._replicate(condition, trial)
        # Its place among the sweep's own trials, as when it was asked for.
        place = sum(each.number < frozen.number for each in own_trials(study))
        study.sampler = self._sampler(condition, place)
        return self._suggest(condition, optuna.Trial(study, frozen._trial_id))

    def winner(self, condition: Condition) -> FrozenTrial | None:
        """The best complete search trial by the objective; the earlier one of equals."""
        study = self.studies["search"][condition.index]
        done = own_trials(study, (TrialState.COMPLETE,))
        sign = -1 if self.config.objective.maximize else 1
        return min(
            done, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None
        )

    def everything_asked(self) -> bool:
        """Whether no search trial and no replicate is left to ask for."""
        return self.all_searched() and not any(map(self._replicates_left, self.conditions))

    def _replicates_left(self, condition: Condition) -> int:
        """Replicates of a condition's winner to ask for; 0 while it is searched, or has none."""
        if not self.config.replicates or not self._searched(condition):
            return 0
        winner = self.winner(condition)
        if winner is None and condition.parameters:
            return 0
        return max(0, self.config.replicates - len(self._replicated(condition, winner)))

    def _replicated(self, condition: Condition, winner: FrozenTrial | None) -> list[FrozenTrial]:
        """The replicates of this winner; an extended search may have found another one since."""
        wanted = {} if winner is None else winner.user_attrs["parameters"]
        study = self.studies["replicate"][condition.index]
        return [
            trial
            for trial in own_trials(study)
            if trial.user_attrs.get("parameters", wanted) == wanted
        ]

    def _stalled_at(self, condition: Condition) -> float:
        """After how many trials the search ends because `patience` of them improved nothing."""
        patience = self.config.patience
        if patience is None:
            return math.inf
        trials = own_trials(self.studies["search"][condition.index])
        ended = [trial for trial in trials if trial.state.is_finished()]
        winner = self.winner(condition)
        if winner is None or sum(trial.number > winner.number for trial in ended) < patience:
            return math.inf
        return len(trials)

    def _searched(self, condition: Condition) -> bool:
        ended, asked = (count["search"][condition.index] for count in (self.ended, self.asked))
        return ended == asked >= self.search_size(condition)

    def _suggest(self, condition: Condition, trial: optuna.Trial) -> Job:
        values: dict[str, Scalar] = {}
        for name, parameter in condition.parameters.items():
            if parameter.holds({**condition.known, **values}):
                values[name] = suggest(trial, name, parameter.distribution())
        return self._job(condition, "search", trial, condition.real_values(values), 0)

    def _replicate(self, condition: Condition, trial: optuna.Trial) -> Job:
        winner = self.winner(condition)
        values = {} if winner is None else winner.user_attrs["parameters"]
        before = [
            each for each in self._replicated(condition, winner) if each.number < trial.number
        ]
        return self._job(condition, "replicate", trial, values, len(before) + 1)

    def _job(
        self,
        condition: Condition,
        kind: Kind,
        trial: optuna.Trial,
        parameters: dict[str, Scalar],
        replicate: int,
    ) -> Job:
        resources = self.config.resources
        config = condition.trial(parameters, replicate).resolve(resources.cpu, resources.gpu)
        trial.set_user_attr("parameters", parameters)
        # Written last: a trial that has its configuration in the ledger is whole.
        trial.set_user_attr("config", config.to_json())
        study = self.studies[kind][condition.index]
        return Job(condition, kind, trial, study, config, parameters, gpu=resources.gpu)

    def _sampler(self, condition: Condition, number: int) -> BaseSampler:
        name, _ = split(self.config.sampler)
        parts = [self.config.seed, condition.name] + ([] if name in SEQUENTIAL else [number])
        seed = derive_seed("ask", *parts) % 2**32
        return build_sampler(self.config.sampler, seed, grid(condition) if name == "grid" else None)

"""Asking Optuna: one study per condition, a sampler seeded for each ask, trials taken up again."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from noisetune.config import TrialConfig
from noisetune.records import MetricPoint, TrialRecord
from noisetune.seeds import derive_seed
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.spec.factors import Scalar
from noisetune.sweep.spec.pruners import build_pruner
from noisetune.sweep.spec.samplers import SEQUENTIAL, build_sampler, split
from noisetune.sweep.study.ledger import Kind, Ledger, own_trials, trial_name
from noisetune.sweep.study.suggest import bring_in, grid, suggest

GPU_SHARE = "gpu_share"


@dataclass
class Job:
    """A trial that was asked for. `pretraining` is the digest of what it computes, until it has.

    `reported` are the epochs that Optuna was told of before the sweep was interrupted; `gpu` is
    its share of a GPU, which grows when its memory runs out; `best` the best epoch so far.
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
    best: MetricPoint | None = None
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


class Searcher:
    """Asks for search trials and replicates; counts what was asked for and what ended."""

    def __init__(
        self, config: SweepConfig, conditions: Sequence[Condition], ledger: Ledger
    ) -> None:
        self.config, self.conditions = config, list(conditions)
        directions, pruner = config.objective.directions, build_pruner(config.pruner)
        self.studies: dict[Kind, list[optuna.Study]] = {
            "search": [
                ledger.study(each.name, "search", directions, pruner) for each in self.conditions
            ],
            "replicate": [
                ledger.study(each.name, "replicate", directions, None) for each in self.conditions
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
            if self._next_replicate(condition):
                self.asked["replicate"][condition.index] += 1
                trial = self.studies["replicate"][condition.index].ask()
                return self._replicate(condition, trial)
        return None

    def replicates_to_come(self) -> int:
        """Replicates that are not asked for yet, also of conditions whose search goes on."""
        return sum(
            self._replicates_left(each)
            if self._searched(each) or self.config.objective.several
            else self.config.replicates
            for each in self.conditions
        )

    def size(self, condition: Condition) -> int:
        """How many trials a condition is to have, replicates included."""
        again = len(self.chosen(condition)) if self.config.objective.several else 1
        return self.search_size(condition) + again * self.config.replicates

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
                    yield condition, _search_name(condition, trial), trial.user_attrs[mark]

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

    def chosen(self, condition: Condition) -> list[dict[str, Scalar]]:
        """The settings that are run again: the winner's, or of several goals those named."""
        if not condition.parameters:
            return [{}]
        if self.config.objective.several:
            done = own_trials(self.studies["search"][condition.index], (TrialState.COMPLETE,))
            names = self.config.replicate
            found = [each for each in done if _search_name(condition, each) in names]
        else:
            winner = self.winner(condition)
            found = [] if winner is None else [winner]
        settings: list[dict[str, Scalar]] = []
        for trial in found:
            if trial.user_attrs["parameters"] not in settings:
                settings.append(trial.user_attrs["parameters"])
        return settings

    def winner(self, condition: Condition) -> FrozenTrial | None:
        """The best complete search trial by a single goal; the earlier one of equals."""
        study = self.studies["search"][condition.index]
        done = own_trials(study, (TrialState.COMPLETE,))
        sign = -1 if self.config.objective.maximize else 1
        return min(
            done, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None
        )

    def everything_asked(self) -> bool:
        """Whether no search trial and no replicate is left to ask for."""
        due = (self._searched(each) and self._next_replicate(each) for each in self.conditions)
        return self.all_searched() and not any(due)

    def _replicates_left(self, condition: Condition) -> int:
        """Replicates to ask for of what was chosen so far."""
        wanted = self.config.replicates
        had = [len(self._replicated(condition, each)) for each in self.chosen(condition)]
        return sum(max(0, wanted - count) for count in had)

    def _next_replicate(
        self, condition: Condition, before: float = math.inf
    ) -> tuple[dict[str, Scalar], int] | None:
        """The settings and seed of a searched condition's next replicate, as it stood when it had
        asked for `before` of them; None while it is searched, and where all were asked for."""
        if not self._searched(condition):
            return None
        for settings in self.chosen(condition):
            had = [each for each in self._replicated(condition, settings) if each.number < before]
            if len(had) < self.config.replicates:
                return settings, len(had) + 1
        return None

    def _replicated(self, condition: Condition, wanted: dict[str, Scalar]) -> list[FrozenTrial]:
        """The replicates of a setting; an extended search may have chosen another one since."""
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
        gain = self._last_gain(condition)
        if gain is None or sum(trial.number > gain for trial in ended) < patience:
            return math.inf
        return len(trials)

    def _last_gain(self, condition: Condition) -> int | None:
        """The number of the last trial that was better than all before it, in some trade-off."""
        if self.config.objective.several:
            study = self.studies["search"][condition.index]
            # A setting that was drawn again is exactly as good, and no gain.
            first: dict[tuple[float, ...], int] = {}
            for trial in own_trials(study, (TrialState.COMPLETE,)):
                first.setdefault(tuple(trial.values), trial.number)
            front = {tuple(trial.values) for trial in study.best_trials}
            gains = [number for values, number in first.items() if values in front]
            return max(gains, default=-1) if first else None
        winner = self.winner(condition)
        return None if winner is None else winner.number

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
        due = self._next_replicate(condition, trial.number)
        # It was asked for, so something was due; a smaller number of replicates came since.
        settings, seed = due or (self.chosen(condition)[0], trial.number + 1)
        return self._job(condition, "replicate", trial, settings, seed)

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


def _search_name(condition: Condition, trial: FrozenTrial) -> str:
    return trial_name(condition.name, "search", trial.number)

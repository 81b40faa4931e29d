"""The searcher: which trial is asked of Optuna next, and what it draws; trials taken up again."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from noisetune.config import TrialConfig
from noisetune.records import Kind
from noisetune.section import Scalar
from noisetune.seeds import derive_seed
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.spec.pruners import build_pruner
from noisetune.sweep.spec.samplers import build_sampler
from noisetune.sweep.study.comparing import Comparing
from noisetune.sweep.study.condition_state import ConditionState
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.ledger import AGAIN, GPU_SHARE, KINDS, Ledger
from noisetune.sweep.study.suggest import queued, suggest


class Searcher:
    """Asks for search trials and replicates, with a sampler that is seeded for each ask.

    `states` are those of the conditions, in their order.
    """

    def __init__(
        self, config: SweepConfig, conditions: Sequence[Condition], ledger: Ledger
    ) -> None:
        self.config, self.ledger, pruner = config, ledger, build_pruner(config.pruner)
        self.states = [ConditionState(each, config, ledger, pruner) for each in conditions]
        by_name = {state.condition.name: state for state in self.states}
        cells = [(name, state.condition.factors) for name, state in by_name.items()]
        self.comparing = Comparing(config, cells, ledger, lambda name: by_name[name].arm())
        self._grow()

    @property
    def size(self) -> int:
        """How many trials the sweep is to have, as far as that is known by now."""
        return sum(state.size for state in self.states)

    def search(self) -> Job | None:
        """The next search trial, of the condition with the fewest; None where all were asked."""
        waiting = [state for state in self.states if state.may_ask]
        if not waiting:
            return None
        state = min(waiting, key=lambda state: state.search.count)
        study = state.search.study
        study.sampler = self._sampler(state, state.search.count, queued(study))
        return self._search_job(state, state.search.ask())

    def replicate(self) -> Job | None:
        """The next replicate of a condition whose search is over; None where there is none."""
        for state in self.states:
            if state.next_replicate():
                self.comparing.join()
                return self._replicate_job(state, state.replicates.ask())
        return None

    def tell(self, job: Job, values: list[float] | None, state: TrialState) -> None:
        """Tell Optuna how a trial ended, with the value of each goal where it is complete."""
        job.study.tell(job.trial, values, state)
        job.open = False
        self.states[job.condition.index].asked(job.kind).ended += 1
        self.comparing.changed(job.condition.name, job.kind)
        if self._grow():
            self.ledger.size = self.size
        if job.kind == "replicate":
            self.comparing.look()

    def _grow(self) -> bool:
        """Ask for as many replicates as the comparisons need by now; whether these are others."""
        wanted = self.comparing.wanted()
        grown = [state for state in self.states if state.wanted != wanted[state.condition.name]]
        for state in grown:
            state.wanted = wanted[state.condition.name]
        return bool(grown)

    def end_search(self) -> None:
        """Ask for no more search trials: what is left of the budget is for replicates."""
        for state in self.states:
            if not state.search_ended:
                state.search_ended = True
                self.comparing.forget()

    @property
    def searched(self) -> bool:
        """Whether the search of every condition is over."""
        return all(state.searched for state in self.states)

    @property
    def everything_asked(self) -> bool:
        """Whether no search trial and no replicate is left to ask for."""
        return self.searched and not any(state.next_replicate() for state in self.states)

    @property
    def asked_in_all(self) -> int:
        """How many trials were asked for, replicates included."""
        return sum(state.search.count + state.replicates.count for state in self.states)

    @property
    def unfinished(self) -> int:
        """How many trials of the whole sweep have not ended, asked for or not."""
        return sum(state.size - state.ended for state in self.states)

    @property
    def replicates_to_come(self) -> int:
        """Replicates that are not asked for yet, also of conditions whose search goes on."""
        return sum(
            state.replicates_left()
            if state.searched or self.config.objective.several
            else self.config.first_replicates
            for state in self.states
        )

    def interrupted(self) -> Iterator[tuple[ConditionState, Kind, FrozenTrial]]:
        """The trials that the ledger says are running: nobody runs them any more."""
        for kind in KINDS:
            for state in self.states:
                for trial in state.asked(kind).trials(TrialState.RUNNING):
                    yield state, kind, trial

    def marked(self, mark: str) -> Iterator[tuple[Condition, str, Any]]:
        """The search trials whose attributes hold a mark: condition, name and what it says."""
        for state in self.states:
            for trial in state.search.trials():
                if mark in trial.user_attrs:
                    yield state.condition, state.search_name(trial), trial.user_attrs[mark]

    def take_up(self, state: ConditionState, kind: Kind, frozen: FrozenTrial) -> Job:
        """An interrupted trial, as the same Optuna trial; what was not yet drawn is drawn now."""
        study, drawn = state.asked(kind).study, "config" in frozen.user_attrs
        if kind == "search" and not drawn:
            # Its place among the sweep's own trials, as when it was asked for.
            earlier = [each for each in state.search.trials() if AGAIN not in each.user_attrs]
            place = sum(other.number < frozen.number for other in earlier)
            values = frozen.system_attrs.get("fixed_params", {}) | frozen.params
            study.sampler = self._sampler(state, place, values)
        # Only now: the sampler prepares a trial when it is made.
        trial = optuna.Trial(study, frozen._trial_id)
        if not drawn:
            draw = self._search_job if kind == "search" else self._replicate_job
            return draw(state, trial)
        config = TrialConfig.parse(frozen.user_attrs["config"], "ledger")
        job = Job(state.condition, kind, trial, study, config, frozen.user_attrs["parameters"])
        job.reported = frozenset(frozen.intermediate_values)
        job.gpu = max(frozen.user_attrs.get(GPU_SHARE, 0.0), self.config.resources.gpu)
        return job

    def _search_job(self, state: ConditionState, trial: optuna.Trial) -> Job:
        condition, values = state.condition, dict[str, Scalar]()
        for name, parameter in condition.parameters.items():
            if parameter.holds({**condition.known, **values}):
                values[name] = suggest(trial, name, parameter.distribution())
        return self._job(state, "search", trial, condition.real_values(values), 0)

    def _replicate_job(self, state: ConditionState, trial: optuna.Trial) -> Job:
        due = state.next_replicate(trial.number)
        # It was asked for, so something was due; a smaller number of replicates came since.
        settings, seed = due or (state.chosen()[0], trial.number + 1)
        return self._job(state, "replicate", trial, settings, seed)

    def _job(
        self,
        state: ConditionState,
        kind: Kind,
        trial: optuna.Trial,
        parameters: dict[str, Scalar],
        replicate: int,
    ) -> Job:
        condition, resources = state.condition, self.config.resources
        config = condition.trial(parameters, replicate).resolve(resources.cpu, resources.gpu)
        trial.set_user_attr("parameters", parameters)
        # Written last: a trial that has its configuration in the ledger is whole.
        trial.set_user_attr("config", config.to_json())
        study = state.asked(kind).study
        return Job(condition, kind, trial, study, config, parameters, gpu=resources.gpu)

    def _sampler(
        self, state: ConditionState, number: int, values: Mapping[str, Scalar]
    ) -> BaseSampler:
        """The sampler for the ask of the condition's search trial `number`, of which an exhaustive
        one must know the `values` that are there already."""
        kind = self.config.sampler_kind
        setting = state.untried.take(values) if kind.exhaustive else None
        parts = [self.config.seed, state.condition.name] + ([] if kind.sequential else [number])
        seed = derive_seed("ask", *parts) % 2**32
        return build_sampler(self.config.sampler, seed, setting)

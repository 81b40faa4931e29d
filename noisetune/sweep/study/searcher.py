"""The searcher: which trial is asked of Optuna next, and what it draws; trials taken up again."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from noisetune.config import TrialConfig
from noisetune.records import Kind
from noisetune.section import Scalar
from noisetune.seeds import derive_seed
from noisetune.selection import blocks_of
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.spec.pruners import build_pruner
from noisetune.sweep.spec.samplers import build_sampler
from noisetune.sweep.study.block import Block
from noisetune.sweep.study.comparing import Comparing
from noisetune.sweep.study.condition_state import ConditionState, WinnerAgain
from noisetune.sweep.study.job import Job
from noisetune.sweep.study.ledger import AGAIN, GPU_SHARE, Ledger, config_of, ledger_text
from noisetune.sweep.study.search_state import Asked, SearchState
from noisetune.sweep.study.searched_again import SearchedAgain
from noisetune.sweep.study.suggest import queued, suggest


class Searcher:
    """Asks for search trials and replicates, with a sampler that is seeded for each ask.

    `states` are those of the conditions, in their order.
    """

    def __init__(
        self, config: SweepConfig, conditions: Sequence[Condition], ledger: Ledger
    ) -> None:
        self.config, self.ledger, pruner = config, ledger, build_pruner(config.pruner)
        kind = WinnerAgain if config.searches is None else SearchedAgain
        self.states: list[ConditionState] = [
            kind(each, config, ledger, pruner) for each in conditions
        ]
        by_name = {state.condition.name: state for state in self.states}
        cells = [(name, state.condition.factors) for name, state in by_name.items()]
        self._share(blocks_of(cells, config.shared_across) if config.shared_across else [], by_name)
        self.comparing = Comparing(config, cells, ledger, lambda name: by_name[name].arm())
        self._grow()

    def _share(self, blocks: Iterable[Sequence[str]], states: Mapping[str, ConditionState]) -> None:
        """Tell the conditions that are searched who shares a setting with them."""
        for names in blocks:
            members = [state for name in names if isinstance(state := states[name], WinnerAgain)]
            block = Block([state.search for state in members], self.config.objective.maximize)
            for state in members:
                state.block = block if state.condition.parameters else None

    @property
    def size(self) -> int:
        """How many trials the sweep is to have, as far as that is known by now."""
        return sum(state.size for state in self.states)

    def search(self) -> Job | None:
        """The next search trial, of the search with the fewest; None where all were asked.

        Of searches that are replicates those of one seed go before those of the next.
        """
        waiting = [search for state in self.states for search in state.searches if search.may_ask]
        if not waiting:
            return None
        search = min(waiting, key=lambda search: (search.seed, search.count))
        if search.seed:
            self.comparing.join()
        search.study.sampler = self._sampler(search, search.count, queued(search.study))
        return self._search_job(search, search.ask())

    def replicate(self) -> Job | None:
        """The next replicate, of the condition with the fewest whose search is over; None where
        there is none.

        So what is compared has about as many everywhere, whenever one looks.
        """
        for state in sorted(self.states, key=ConditionState.replicated):
            if state.next_replicate():
                self.comparing.join()
                (again,) = state.replicates
                return self._replicate_job(state, again, again.ask())
        return None

    def tell(self, job: Job, values: list[float] | None, state: TrialState) -> None:
        """Tell Optuna how a trial ended, with the value of each goal where it is complete."""
        job.asked.tell(job.trial, values, state)
        job.open = False
        self.states[job.condition.index].close()
        # With a search that is a replicate, one may have ended; with another, its winner changed.
        kind: Kind = job.kind if self.config.searches is None else "replicate"
        self.comparing.changed(job.condition.name, kind)
        if self._grow() or (self.config.shared_across and self._ends_search(job)):
            self.ledger.size = self.size
        if kind == "replicate":
            self.comparing.look()

    def _ends_search(self, job: Job) -> bool:
        """Whether the search of its condition is over with this trial."""
        return job.kind == "search" and self.states[job.condition.index].searched

    def _grow(self) -> bool:
        """Ask for as many replicates as the comparisons need by now; whether these are others."""
        wanted = self.comparing.wanted()
        grown = [state for state in self.states if state.wanted != wanted[state.condition.name]]
        for state in grown:
            state.want(wanted[state.condition.name])
        return bool(grown)

    def end_search(self) -> None:
        """Ask for no more search trials: what is left of the budget is for replicates."""
        ended = [state.end_search() for state in self.states]
        if any(ended):
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
        return sum(state.count for state in self.states)

    @property
    def unfinished(self) -> int:
        """How many trials of the whole sweep have not ended, asked for or not."""
        return sum(state.size - state.ended for state in self.states)

    @property
    def replicates_to_come(self) -> int:
        """Replicates that are not asked for yet, also of conditions whose search goes on."""
        return sum(state.replicates_to_come() for state in self.states)

    def interrupted(self) -> Iterator[tuple[ConditionState, Asked, FrozenTrial]]:
        """The trials that the ledger says are running: nobody runs them any more."""
        searches = [(state, search) for state in self.states for search in state.searches]
        replicates = [(state, again) for state in self.states for again in state.replicates]
        for state, asked in [*searches, *replicates]:
            for trial in asked.trials(TrialState.RUNNING):
                yield state, asked, trial

    def marked(self, mark: str) -> Iterator[tuple[str, str, Any]]:
        """The search trials whose attributes hold a mark: the names of search and trial, and what
        it says."""
        for state in self.states:
            for search in state.searches:
                for trial in search.trials():
                    if mark in trial.user_attrs:
                        yield search.name, search.trial_name(trial), trial.user_attrs[mark]

    def take_up(self, state: ConditionState, asked: Asked, frozen: FrozenTrial) -> Job:
        """An interrupted trial, as the same Optuna trial; what was not yet drawn is drawn now."""
        drawn = "config" in frozen.user_attrs
        if isinstance(asked, SearchState) and not drawn:
            # Its place among the sweep's own trials, as when it was asked for.
            earlier = [each for each in asked.trials() if AGAIN not in each.user_attrs]
            place = sum(other.number < frozen.number for other in earlier)
            values = frozen.system_attrs.get("fixed_params", {}) | frozen.params
            asked.study.sampler = self._sampler(asked, place, values)
        # Only now: the sampler prepares a trial when it is made.
        trial = optuna.Trial(asked.study, frozen._trial_id)
        if not drawn and isinstance(asked, SearchState):
            return self._search_job(asked, trial)
        if not drawn:
            return self._replicate_job(state, asked, trial)
        config = TrialConfig.parse(config_of(frozen), "ledger")
        kind: Kind = "search" if isinstance(asked, SearchState) else "replicate"
        job = Job(state.condition, kind, trial, asked, config, frozen.user_attrs["parameters"])
        job.reported = frozenset(frozen.intermediate_values)
        job.gpu = max(frozen.user_attrs.get(GPU_SHARE, 0.0), self.config.resources.gpu)
        return job

    def _search_job(self, search: SearchState, trial: optuna.Trial) -> Job:
        condition, values = search.condition, dict[str, Scalar]()
        for name, parameter in condition.parameters.items():
            if parameter.holds({**condition.known, **values}):
                values[name] = suggest(trial, name, parameter.distribution())
        parameters = condition.real_values(values)
        return self._job(condition, "search", trial, search, parameters, search.seed)

    def _replicate_job(self, state: ConditionState, again: Asked, trial: optuna.Trial) -> Job:
        assert isinstance(state, WinnerAgain)
        # It was asked for, so something was due; a smaller number of replicates came since.
        settings, seed = state.next_replicate(trial.number) or (state.chosen()[0], trial.number + 1)
        return self._job(state.condition, "replicate", trial, again, settings, seed)

    def _job(
        self,
        condition: Condition,
        kind: Kind,
        trial: optuna.Trial,
        asked: Asked,
        parameters: dict[str, Scalar],
        replicate: int,
    ) -> Job:
        resources = self.config.resources
        config = condition.trial(parameters, replicate).resolve(resources.cpu, resources.gpu)
        trial.set_user_attr("parameters", parameters)
        # Written last: a trial that has its configuration in the ledger is whole.
        trial.set_user_attr("config", ledger_text(config.to_json()))
        return Job(condition, kind, trial, asked, config, parameters, gpu=resources.gpu)

    def _sampler(
        self, search: SearchState, number: int, values: Mapping[str, Scalar]
    ) -> BaseSampler:
        """The sampler for the ask of a search's trial `number`, of which an exhaustive one must
        know the `values` that are there already."""
        kind = self.config.sampler_kind
        setting = search.untried.take(values) if kind.exhaustive else None
        parts = [self.config.seed, search.name] + ([] if kind.sequential else [number])
        seed = derive_seed("ask", *parts) % 2**32
        return build_sampler(self.config.sampler, seed, setting)

"""The ledger: the Optuna storage of a sweep, the one record of its trials and how they ended."""

import itertools
import json
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from noisetune.analysis.families import Family
from noisetune.errors import UserError
from noisetune.records import Claim, Kind, State, TrialRecord
from noisetune.sweep.spec.objective import Direction
from noisetune.sweep.study.ledger_file import LedgerFile, replayed

KINDS: tuple[Kind, ...] = ("search", "replicate")
DEFINITION, SPENT = "noisetune:definition", "noisetune:spent"
SIZE = "noisetune:size"
IDENTITY = "noisetune:identity"
FAMILIES, CLAIMS = "noisetune:families", "noisetune:claims"
WARM = "noisetune:warm_start"
GPU_SHARE = "gpu_share"
"""The attribute of a trial that holds its share of a GPU, where that has grown."""
LOST = "noisetune:lost"
"""The attribute of a trial whose process was lost so often that the sweep paused."""
MACHINE = "noisetune:machine"
"""The attribute of a trial that the machine failed: it is no fault of the trial's."""
DIVERGED = "noisetune:diverged"
"""The attribute of a trial whose training diverged."""
AGAIN = "noisetune:again"
"""The attribute of a trial that is run in the place of a failed one: that one's number."""
WINNER = "noisetune:winner"
"""The attribute of the study of a search that is a replicate and is over: its winner's number."""
NOBODY = -1
"""The winner of a search of which no trial came to a value."""
STATES: dict[TrialState, State] = {
    TrialState.WAITING: "running",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def journal(path: Path) -> BaseStorage:
    """A ledger file; it is an append-only journal that several processes may read."""
    return replayed(LedgerFile(path))


class Ledger:
    """The studies of one sweep: one per condition and kind, one for each search that is a
    replicate, and one that holds its definition.

    `neighbours` opens the ledger of another sweep by name, for a warm start.
    """

    def __init__(
        self,
        storage: BaseStorage,
        sweep: str,
        neighbours: Callable[[str], BaseStorage] | None = None,
    ) -> None:
        self.storage, self.sweep, self.neighbours = storage, sweep, neighbours

    @property
    def begun(self) -> bool:
        """Whether there is a sweep: one that was killed before its definition stood is none."""
        if self.sweep not in optuna.get_all_study_names(self.storage):
            return False
        return DEFINITION in self._index().user_attrs

    @classmethod
    def create(
        cls,
        storage: BaseStorage,
        sweep: str,
        definition: dict[str, Any],
        identity: str | None = None,
    ) -> "Ledger":
        """A new sweep's ledger; UserError where one was begun under this name."""
        ledger = cls(storage, sweep)
        if ledger.begun:
            raise name_taken(sweep)
        index = optuna.create_study(study_name=sweep, storage=storage, load_if_exists=True)
        index.set_user_attr(IDENTITY, identity or uuid.uuid4().hex)
        # Written last: with it the sweep has begun.
        ledger.redefine(definition)
        return ledger

    def _index(self) -> optuna.Study:
        return optuna.load_study(study_name=self.sweep, storage=self.storage)

    @property
    def definition(self) -> dict[str, Any]:
        """The sweep and its search space as they were given."""
        return self._index().user_attrs[DEFINITION]

    @property
    def identity(self) -> str:
        """Tells this sweep from an earlier one of its name, whose folder was removed."""
        return self._index().user_attrs.get(IDENTITY, "")

    def redefine(self, definition: dict[str, Any]) -> None:
        """Replace the definition, as a resume that extends the sweep does."""
        self._index().set_user_attr(DEFINITION, definition)

    @property
    def spent(self) -> dict[str, float]:
        """What the sweep has used so far, over all its drivers, as `Spending.note` wrote it."""
        return self._index().user_attrs.get(SPENT, {})

    @spent.setter
    def spent(self, spent: dict[str, float]) -> None:
        self._index().set_user_attr(SPENT, spent)

    @property
    def size(self) -> int | None:
        """How many trials it is to have, as its last driver counted; None where none did."""
        return self._index().user_attrs.get(SIZE)

    @size.setter
    def size(self, size: int) -> None:
        self._index().set_user_attr(SIZE, size)

    @property
    def families(self) -> list[Family]:
        """What is compared, in the order in which it was asked; none before the first replicate."""
        return [Family.from_json(each) for each in self._index().user_attrs.get(FAMILIES, [])]

    @families.setter
    def families(self, families: Sequence[Family]) -> None:
        self._index().set_user_attr(FAMILIES, [each.to_json() for each in families])

    @property
    def claims(self) -> list[Claim]:
        """What was established, in the order in which it was."""
        return [Claim.from_json(each) for each in self._index().user_attrs.get(CLAIMS, [])]

    @claims.setter
    def claims(self, claims: Sequence[Claim]) -> None:
        self._index().set_user_attr(CLAIMS, [each.to_json() for each in claims])

    def study(
        self,
        condition: str,
        kind: Kind,
        directions: Sequence[Direction],
        pruner: optuna.pruners.BasePruner | None,
        seed: int = 0,
    ) -> optuna.Study:
        """The study of a condition's search trials or replicates; made where there is none. That of
        a search that is a replicate has its `seed`."""
        study = optuna.create_study(
            study_name=self._study_name(condition, kind, seed),
            storage=self.storage,
            directions=directions,
            pruner=pruner or optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        study.set_user_attr("condition", condition)
        return study

    def earlier(self, sweep: str, condition: str) -> list[tuple[FrozenTrial, dict[str, Any]]]:
        """The complete search trials that another sweep had in a condition, and their values."""
        other = Ledger(self.neighbours(sweep), sweep) if self.neighbours else self
        name = other._study_name(condition, "search")
        if name not in optuna.get_all_study_names(other.storage):
            return []
        study = optuna.load_study(study_name=name, storage=other.storage)
        return [(each, dict(each.params)) for each in own_trials(study, (TrialState.COMPLETE,))]

    def run_failed_again(
        self, conditions: Iterable[str], kinds: Sequence[Kind] = KINDS, mark: str | None = None
    ) -> list[str]:
        """Begin every trial that failed anew, as one that runs; the names of those that failed.

        Those of these `kinds`, and of searches that are replicates; with a `mark` those alone that
        have this attribute. The new one has the values, the configuration and so the seed of the
        failed one, which stays as it is and leaves its place to it. Written whole, and so once,
        however often a driver dies here: it is taken up like a trial that was interrupted.
        """
        names = []
        for condition, kind, seed, study in self._studies(conditions):
            if kind not in kinds and not seed:
                continue
            for trial in standing(own_trials(study)):
                marked = mark is None or mark in trial.user_attrs
                if trial.state == TrialState.FAIL and marked:
                    if seed:
                        # First: a search that goes on has no winner yet.
                        study.set_user_attr(WINNER, None)
                    self.storage.create_new_trial(study._study_id, _again(trial))
                    names.append(trial_name(condition, kind, trial.number, seed))
        return names

    def records(self, conditions: Iterable[tuple[str, dict[str, Any]]]) -> list[TrialRecord]:
        """Every trial of these conditions (name, factors) that has its configuration."""
        factors, records = dict(conditions), []
        for condition, kind, seed, study in self._studies(factors):
            trials, winner = own_trials(study), study.user_attrs.get(WINNER)
            places = {trial.number for trial in standing(trials)}
            records += [
                replace(
                    record(trial, condition, factors[condition], kind, seed),
                    replaced=trial.number not in places,
                    won=None if winner is None else trial.number == winner,
                )
                for trial in trials
                if "config" in trial.user_attrs
            ]
        return records

    def searched(self, conditions: Iterable[str]) -> dict[str, tuple[FrozenTrial, ...]]:
        """Optuna's own trials of the searches in each of these conditions that has any."""
        found: dict[str, tuple[FrozenTrial, ...]] = {}
        for condition, kind, _, study in self._studies(conditions):
            if kind == "search" and (trials := own_trials(study)):
                found[condition] = (*found.get(condition, ()), *trials)
        return found

    def searches(self, condition: str) -> int:
        """How many searches of a condition, each a replicate, were begun."""
        studies = set(optuna.get_all_study_names(self.storage))
        return len(list(self._seeds(condition, studies)))

    def _studies(self, conditions: Iterable[str]) -> Iterator[tuple[str, Kind, int, optuna.Study]]:
        """The studies of these conditions that there are: condition, kind, seed of its search."""
        studies = set(optuna.get_all_study_names(self.storage))
        for condition in conditions:
            places: list[tuple[Kind, int]] = [(kind, 0) for kind in KINDS]
            places += [("search", seed) for seed in self._seeds(condition, studies)]
            for kind, seed in places:
                if (name := self._study_name(condition, kind, seed)) in studies:
                    study = optuna.load_study(study_name=name, storage=self.storage)
                    yield condition, kind, seed, study

    def _seeds(self, condition: str, studies: Collection[str]) -> Iterator[int]:
        """The seeds of the searches of a condition that are replicates: there is no gap."""
        return itertools.takewhile(
            lambda seed: self._study_name(condition, "search", seed) in studies, itertools.count(1)
        )

    def _study_name(self, condition: str, kind: Kind, seed: int = 0) -> str:
        name = f"{self.sweep} / {condition}"
        if kind == "replicate":
            return f"{name} / replicates"
        return f"{name} / search {seed}" if seed else name


def name_taken(sweep: str) -> UserError:
    """What is said to who begins a sweep of a name that is taken."""
    return UserError(
        f"name: a sweep {sweep!r} exists already; go on with `noisetune resume {sweep}`, "
        "or give this one another name with --name"
    )


def own_trials(
    study: optuna.Study, states: tuple[TrialState, ...] | None = None
) -> list[FrozenTrial]:
    """The study's trials that were asked for, not those that a warm start brought or enqueued."""
    return [
        trial
        for trial in study.get_trials(False, states)
        if trial.state != TrialState.WAITING and WARM not in trial.user_attrs
    ]


def standing(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials of a study that count: a failed one that is run again has left its place."""
    again = {trial.user_attrs.get(AGAIN) for trial in trials}
    return [trial for trial in trials if trial.number not in again]


def _again(failed: FrozenTrial) -> FrozenTrial:
    """A failed trial as it was when it was asked for."""
    kept = ("parameters", "config", GPU_SHARE)
    attributes = {name: failed.user_attrs[name] for name in kept if name in failed.user_attrs}
    return FrozenTrial(
        number=-1,  # this and the next are the storage's to give
        trial_id=-1,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=datetime.now(),
        datetime_complete=None,
        params=failed.params,
        distributions=failed.distributions,
        user_attrs=attributes | {AGAIN: failed.number},
        system_attrs={},
        intermediate_values={},
    )


def ledger_text(config: Mapping[str, Any]) -> str:
    """A trial's configuration as the ledger has it: of ten thousand trials all are in memory, and a
    text takes a sixth of what its mappings take."""
    return json.dumps(config)


def config_of(trial: FrozenTrial) -> dict[str, Any]:
    """The configuration of a trial that has one; in earlier ledgers it is a mapping."""
    given = trial.user_attrs["config"]
    return json.loads(given) if isinstance(given, str) else given


def record(
    trial: FrozenTrial,
    condition: str,
    factors: dict[str, Any],
    kind: Kind,
    seed: int = 0,
) -> TrialRecord:
    """What the ledger says of one trial; of a search that is a replicate, with its `seed`."""
    attributes = trial.user_attrs
    values = trial.values if trial.state == TrialState.COMPLETE else ()
    failed = trial.state == TrialState.FAIL
    return TrialRecord(
        name=trial_name(condition, kind, trial.number, seed),
        condition=condition,
        factors=factors,
        kind=kind,
        number=trial.number,
        state=STATES[trial.state],
        parameters=attributes.get("parameters", dict(trial.params)),
        config=config_of(trial),
        objective=values[0] if values else None,
        objectives=tuple(values),
        metrics=attributes.get("metrics", {}),
        # A driver may have been killed between a reason and the end that it was for.
        reason=None if trial.state == TrialState.COMPLETE else attributes.get("reason"),
        diverged=failed and DIVERGED in attributes,
        machine=failed and MACHINE in attributes,
    )


def search_name(condition: str, seed: int) -> str:
    """What a search is called: as its condition, unless it is one of several, a replicate each."""
    return f"{condition} search {seed}" if seed else condition


def trial_name(condition: str, kind: Kind, number: int, seed: int = 0) -> str:
    """What a trial is called everywhere: ledger, tables and MLflow."""
    if kind == "replicate":
        return f"{condition} replicate {number}"
    return f"{search_name(condition, seed)} trial {number}"

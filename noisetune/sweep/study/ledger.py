"""The ledger: the Optuna storage of a sweep, the one record of its trials and how they ended."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from noisetune.errors import UserError
from noisetune.records import Kind, State, TrialRecord
from noisetune.sweep.spec.objective import Direction

# Its notes on every study and trial would run through the live table.
optuna.logging.set_verbosity(optuna.logging.WARNING)

KINDS: tuple[Kind, ...] = ("search", "replicate")
DEFINITION, SPENT = "noisetune:definition", "noisetune:spent"
SIZE = "noisetune:size"
IDENTITY = "noisetune:identity"
WARM = "noisetune:warm_start"
STATES: dict[TrialState, State] = {
    TrialState.WAITING: "running",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


def journal(path: Path) -> BaseStorage:
    """A ledger file; it is an append-only journal that several processes may read."""
    return JournalStorage(JournalFileBackend(str(path)))


class Ledger:
    """The studies of one sweep: one per condition and kind, and one that holds its definition.

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
    def create(cls, storage: BaseStorage, sweep: str, definition: dict[str, Any]) -> "Ledger":
        """A new sweep's ledger; UserError where one was begun under this name."""
        ledger = cls(storage, sweep)
        if ledger.begun:
            raise name_taken(sweep)
        index = optuna.create_study(study_name=sweep, storage=storage, load_if_exists=True)
        index.set_user_attr(IDENTITY, uuid.uuid4().hex)
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

    def study(
        self,
        condition: str,
        kind: Kind,
        directions: Sequence[Direction],
        pruner: optuna.pruners.BasePruner | None,
    ) -> optuna.Study:
        """The study of a condition's search trials or replicates; made where there is none."""
        study = optuna.create_study(
            study_name=self._study_name(condition, kind),
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

    def records(self, conditions: Iterable[tuple[str, dict[str, Any]]]) -> list[TrialRecord]:
        """Every trial of these conditions (name, factors) that has its configuration."""
        studies = set(optuna.get_all_study_names(self.storage))
        records = []
        for condition, factors in conditions:
            for kind in KINDS:
                name = self._study_name(condition, kind)
                if name in studies:
                    study = optuna.load_study(study_name=name, storage=self.storage)
                    records += [
                        record(trial, condition, factors, kind)
                        for trial in own_trials(study)
                        if "config" in trial.user_attrs
                    ]
        return records

    def _study_name(self, condition: str, kind: Kind) -> str:
        return f"{self.sweep} / {condition}" + (" / replicates" if kind == "replicate" else "")


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


def record(trial: FrozenTrial, condition: str, factors: dict[str, Any], kind: Kind) -> TrialRecord:
    """What the ledger says of one trial."""
    attributes = trial.user_attrs
    values = trial.values if trial.state == TrialState.COMPLETE else ()
    return TrialRecord(
        name=trial_name(condition, kind, trial.number),
        condition=condition,
        factors=factors,
        kind=kind,
        number=trial.number,
        state=STATES[trial.state],
        parameters=attributes.get("parameters", dict(trial.params)),
        config=attributes["config"],
        objective=values[0] if values else None,
        objectives=tuple(values),
        metrics=attributes.get("metrics", {}),
        # A driver may have been killed between a reason and the end that it was for.
        reason=None if trial.state == TrialState.COMPLETE else attributes.get("reason"),
    )


def trial_name(condition: str, kind: Kind, number: int) -> str:
    """What a trial is called everywhere: ledger, tables and MLflow."""
    return f"{condition} {'trial' if kind == 'search' else 'replicate'} {number}"

"""The ledger: the Optuna storage of a sweep, the one record of its trials and how they ended."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from noisetune.errors import UserError
from noisetune.records import State, TrialRecord

Kind = Literal["search", "replicate"]
Direction = Literal["maximize", "minimize"]
DEFINITION = "noisetune:definition"
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
    """The studies of one sweep: one per condition and kind, and one that holds its definition."""

    def __init__(self, storage: BaseStorage, sweep: str) -> None:
        self.storage, self.sweep = storage, sweep
        self._studies: dict[tuple[str, Kind], optuna.Study] = {}

    @classmethod
    def create(cls, storage: BaseStorage, sweep: str, definition: dict[str, Any]) -> "Ledger":
        """A new sweep's ledger; UserError where the name is taken."""
        try:
            index = optuna.create_study(study_name=sweep, storage=storage)
        except optuna.exceptions.DuplicatedStudyError:
            raise name_taken(sweep) from None
        index.set_user_attr(DEFINITION, definition)
        return cls(storage, sweep)

    @classmethod
    def open(cls, storage: BaseStorage, sweep: str) -> "Ledger":
        """An existing sweep's ledger; UserError where there is none of this name."""
        ledger = cls(storage, sweep)
        if sweep not in optuna.get_all_study_names(storage):
            raise UserError(f"no sweep {sweep!r} in the ledger; start it with `noisetune sweep`")
        return ledger

    @property
    def definition(self) -> dict[str, Any]:
        """The sweep and its search space as they were given."""
        index = optuna.load_study(study_name=self.sweep, storage=self.storage)
        return index.user_attrs[DEFINITION]

    def study(
        self,
        condition: str,
        kind: Kind,
        direction: Direction,
        pruner: optuna.pruners.BasePruner | None,
    ) -> optuna.Study:
        """The study of a condition's search trials or replicates; made where there is none."""
        study = optuna.create_study(
            study_name=self._study_name(condition, kind),
            storage=self.storage,
            direction=direction,
            pruner=pruner or optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        study.set_user_attr("condition", condition)
        return study

    def records(self, conditions: Iterable[tuple[str, dict[str, Any]]]) -> list[TrialRecord]:
        """Every trial of these conditions (name, factors) that has its configuration."""
        there = set(optuna.get_all_study_names(self.storage))
        found = []
        for condition, factors in conditions:
            for kind in ("search", "replicate"):
                name = self._study_name(condition, kind)
                if name in there:
                    study = optuna.load_study(study_name=name, storage=self.storage)
                    found += [
                        record(trial, condition, factors, kind)
                        for trial in study.get_trials(deepcopy=False)
                        if "config" in trial.user_attrs
                    ]
        return found

    def _study_name(self, condition: str, kind: Kind) -> str:
        return f"{self.sweep} / {condition}" + (" / replicates" if kind == "replicate" else "")


def name_taken(sweep: str) -> UserError:
    return UserError(
        f"name: a sweep {sweep!r} exists already; go on with `noisetune resume {sweep}`, "
        "or give this one another name with --name"
    )


def record(trial: FrozenTrial, condition: str, factors: dict[str, Any], kind: Kind) -> TrialRecord:
    """What the ledger says of one trial."""
    attributes = trial.user_attrs
    return TrialRecord(
        name=trial_name(condition, kind, trial.number),
        condition=condition,
        factors=factors,
        kind=kind,
        number=trial.number,
        state=STATES[trial.state],
        parameters=attributes.get("parameters", dict(trial.params)),
        config=attributes["config"],
        objective=trial.value if trial.state == TrialState.COMPLETE else None,
        metrics=attributes.get("metrics", {}),
        reason=attributes.get("reason"),
    )


def trial_name(condition: str, kind: Kind, number: int) -> str:
    """What a trial is called everywhere: ledger, tables and MLflow."""
    return f"{condition} {'trial' if kind == 'search' else 'replicate'} {number}"

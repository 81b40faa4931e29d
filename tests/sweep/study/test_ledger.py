from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from noisetune.analysis.families import Family
from noisetune.errors import UserError
from noisetune.records import Claim, TrialRecord
from noisetune.sweep.study.ledger import Ledger, journal, ledger_text

CONDITIONS = [("noise.rate=0.2", {"noise.rate": 0.2}), ("noise.rate=0.6", {"noise.rate": 0.6})]
CONFIG = {"replicate": 3}


@pytest.fixture
def ledger() -> Ledger:
    return Ledger.create(InMemoryStorage(), "mine", {})


@pytest.fixture
def write(ledger: Ledger) -> Callable[..., None]:
    """Write a trial that ended in a state."""

    def write(condition: str, kind: str, state: TrialState | None, **attributes: object) -> None:
        study = ledger.study(condition, kind, ["maximize"], None)  # type: ignore[arg-type]
        trial = study.ask()
        for name, value in attributes.items():
            trial.set_user_attr(name, value)
        trial.report(0.75, 1)
        if state is not None:
            study.tell(trial, 0.75 if state == TrialState.COMPLETE else None, state)

    return write


def test_the_definition_is_kept_in_the_file(tmp_path: Path) -> None:
    definition = {"sweep": {"name": "mine"}}
    Ledger.create(journal(tmp_path / "ledger"), "mine", definition)
    assert Ledger(journal(tmp_path / "ledger"), "mine").definition == definition


def test_what_is_compared_and_claimed_is_kept_in_the_file(tmp_path: Path) -> None:
    families = [Family((("a", "b"), ("c", "b")), 0.05, {"a": "1f", "b": "", "c": "2e"})]
    claims = [Claim("a", "b", "above", 6, 0, 0.05), Claim("c", "b", "equal", 9, 0, 0.05)]
    ledger = Ledger.create(journal(tmp_path / "ledger"), "mine", {})
    assert (ledger.families, ledger.claims) == ([], [])
    ledger.families, ledger.claims = families, claims
    read = Ledger(journal(tmp_path / "ledger"), "mine")
    assert (read.families, read.claims) == (families, claims)


def test_a_name_is_taken_once() -> None:
    storage = InMemoryStorage()
    Ledger.create(storage, "mine", {})
    with pytest.raises(UserError, match=r"'mine' exists already; go on with `noisetune resume mi"):
        Ledger.create(storage, "mine", {})
    Ledger.create(storage, "other", {})


def test_a_sweep_is_begun_when_its_definition_stands(ledger: Ledger) -> None:
    optuna.create_study(study_name="cut off", storage=ledger.storage)
    there = {name: Ledger(ledger.storage, name).begun for name in ("mine", "other", "cut off")}
    assert there == {"mine": True, "other": False, "cut off": False}
    Ledger.create(ledger.storage, "cut off", {})


def test_a_record_says_how_a_trial_ended(ledger: Ledger, write: Callable[..., None]) -> None:
    condition, factors = CONDITIONS[0]
    parameters, metrics = {"finetune.lr": 0.01}, {"test/accuracy_at_last": 0.5}
    write(
        condition,
        "search",
        TrialState.COMPLETE,
        config=CONFIG,
        parameters=parameters,
        metrics=metrics,
    )
    assert ledger.records(CONDITIONS) == [
        TrialRecord(
            name="noise.rate=0.2 trial 0",
            condition=condition,
            factors=factors,
            kind="search",
            number=0,
            state="complete",
            parameters=parameters,
            config=CONFIG,
            objective=0.75,
            objectives=(0.75,),
            metrics=metrics,
            reason=None,
        )
    ]


def test_a_configuration_is_a_text_and_in_earlier_ledgers_a_mapping(
    ledger: Ledger, write: Callable[..., None]
) -> None:
    for kept in (ledger_text(CONFIG), CONFIG):
        write("noise.rate=0.2", "search", None, config=kept)
    assert [record.config for record in ledger.records(CONDITIONS)] == [CONFIG, CONFIG]


@pytest.mark.parametrize(
    ("state", "word"),
    [(None, "running"), (TrialState.PRUNED, "pruned"), (TrialState.FAIL, "failed")],
)
def test_only_a_complete_trial_has_an_objective(
    ledger: Ledger, write: Callable[..., None], state: TrialState | None, word: str
) -> None:
    write(CONDITIONS[0][0], "search", state, config=CONFIG, parameters={}, reason="so it was")
    (record,) = ledger.records(CONDITIONS)
    assert (record.state, record.objective, record.reason) == (word, None, "so it was")


def test_records_come_by_condition_search_first(ledger: Ledger, write: Callable[..., None]) -> None:
    done = TrialState.COMPLETE
    for kind in ("replicate", "search"):
        for condition, _ in reversed(CONDITIONS):
            write(condition, kind, done, config=CONFIG, parameters={})
    assert [record.name for record in ledger.records(CONDITIONS)] == [
        "noise.rate=0.2 trial 0",
        "noise.rate=0.2 replicate 0",
        "noise.rate=0.6 trial 0",
        "noise.rate=0.6 replicate 0",
    ]


def test_a_trial_that_was_cut_off_before_its_configuration_is_no_record(
    ledger: Ledger, write: Callable[..., None]
) -> None:
    write(CONDITIONS[0][0], "search", None)
    assert ledger.records(CONDITIONS) == []


def test_sweeps_in_one_storage_do_not_meet(ledger: Ledger, write: Callable[..., None]) -> None:
    write(CONDITIONS[0][0], "search", TrialState.COMPLETE, config=CONFIG, parameters={})
    assert Ledger.create(ledger.storage, "other", {}).records(CONDITIONS) == []


def test_another_process_reads_the_same_file(tmp_path: Path) -> None:
    writer = Ledger.create(journal(tmp_path / "ledger"), "mine", {})
    reader = Ledger(journal(tmp_path / "ledger"), "mine")
    assert reader.records(CONDITIONS) == []
    trial = writer.study(CONDITIONS[0][0], "search", ["maximize"], None).ask()
    trial.set_user_attr("parameters", {})
    trial.set_user_attr("config", CONFIG)
    assert [record.state for record in reader.records(CONDITIONS)] == ["running"]

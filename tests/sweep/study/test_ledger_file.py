"""The ledger as a file: Optuna's own, sealed line by line, and what damage to it does."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from damage import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import Play
from optuna import load_study
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from noisetune.errors import UserError
from noisetune.sweep.home import Home
from noisetune.sweep.study.lease import claim_sweep, own_journal
from noisetune.sweep.study.ledger import journal

SIZES: dict[str, Any] = {"trials_per_condition": 2, "replicates": 0, "pruner": {"name": "none"}}
STUDY = "made-up / all"


def trials(storage: BaseStorage) -> list[FrozenTrial]:
    """All that a storage knows of the one condition; nothing before it was begun."""
    names = [study.study_name for study in storage.get_all_studies()]
    return load_study(study_name=STUDY, storage=storage).trials if STUDY in names else []


def stock(file: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(file)))


@pytest.fixture
def file(tmp_path: Path, open_scheduler: Callable[..., Play]) -> Path:
    """The ledger of a sweep of two trials that ended."""
    home = Home(tmp_path)
    with claim_sweep(home, "made-up") as lease:
        storage = own_journal(home.ledger_file("made-up"), lease)
        open_scheduler(storage=storage, **SIZES).run_all(lambda job: [0.25, 0.5])
    return home.ledger_file("made-up")


def test_optuna_alone_reads_the_same_trials(file: Path) -> None:
    assert all(b',"checksum":"' in line for line in file.open("rb"))
    assert len(trials(stock(file))) == 2
    assert trials(stock(file)) == trials(journal(file))


def test_what_optuna_alone_writes_is_read(file: Path) -> None:
    load_study(study_name=STUDY, storage=stock(file)).set_user_attr("note", "of a dashboard")
    storage = journal(file)
    storage.set_study_user_attr(storage.get_study_id_from_name(STUDY), "another", 1)
    study = load_study(study_name=STUDY, storage=journal(file))
    assert (study.user_attrs["note"], study.user_attrs["another"]) == ("of a dashboard", 1)
    assert study.trials == trials(stock(file))


def test_a_reader_hears_of_what_is_written_behind_it(file: Path) -> None:
    reader, writer = journal(file), journal(file)
    (trial, _), before = trials(writer), trials(reader)
    study = writer.get_study_id_from_name(STUDY)
    writer.create_new_trial(study, trial)
    assert len(trials(reader)) == len(before) + 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_anywhere_is_one_message_or_cut_and_kept(file: Path, data: st.DataObject) -> None:
    whole = file.read_bytes()
    new, place = data.draw(damaged(whole))
    before = whole[:place].count(b"\n")
    file.write_bytes(new)
    try:
        seen = _look_and_own(file)
    finally:
        kept = file.read_bytes()
        aside = [each.read_bytes() for each in file.parent.glob("*.damaged-*")]
        for each in file.parent.glob("*.damaged-*"):
            each.unlink()
        file.write_bytes(whole)
    if isinstance(seen, UserError):
        line = re.match(re.escape(str(file)) + r" line (\d+)", str(seen))
        assert line is not None
        assert int(line[1]) > before
        assert (kept, aside) == (new, [])
    else:
        assert b"".join([kept, *aside]) == new
        assert whole.startswith(kept)
        assert kept.count(b"\n") >= before
        assert seen == _trials_of(file, kept)


def _look_and_own(file: Path) -> UserError | list[FrozenTrial]:
    """What a look tells, then a driver; both say the same, and the look changes nothing."""
    content, outcomes = file.read_bytes(), []
    for storage in (lambda: journal(file), lambda: _owned(file)):
        assert file.read_bytes() == content
        try:
            outcomes.append(trials(storage()))
        except UserError as error:
            outcomes.append(error)
    look, drive = outcomes
    assert str(look) == str(drive)
    return drive


def _owned(file: Path) -> BaseStorage:
    with claim_sweep(Home(file.parents[2]), "made-up") as lease:
        return own_journal(file, lease)


def _trials_of(file: Path, content: bytes) -> list[FrozenTrial]:
    copy = file.with_name("copy")
    copy.write_bytes(content)
    return trials(stock(copy))


@pytest.mark.parametrize("line", ['{"op_code":99,"worker_id":""}', '{"op_code":5}', "{}"])
def test_a_line_that_makes_no_sense_is_one_message(file: Path, line: str) -> None:
    with file.open("a") as old:
        old.write(line + "\n")
    count = file.read_bytes().count(b"\n")
    with pytest.raises(UserError, match=rf"ledger\.journal line {count}: makes no sense"):
        journal(file)


def test_a_folder_in_its_place_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        journal(tmp_path)


def test_a_full_disk_leaves_whole_lines(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, storage = file.read_bytes(), journal(file)
    study = storage.get_study_id_from_name(STUDY)

    def full(descriptor: int) -> None:
        raise OSError(28, "no room")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="no room"):
            storage.set_study_user_attr(study, "note", "x")
    assert file.read_bytes() == before
    storage.set_study_user_attr(study, "note", "y")
    assert load_study(study_name=STUDY, storage=journal(file)).user_attrs["note"] == "y"

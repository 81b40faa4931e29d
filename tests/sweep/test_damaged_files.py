"""Ledger and outbox of a sweep, damaged or gone: what a look says, and what a resume does."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from real_sweep import SWEEP, TRIAL, without_ray

from noisetune.errors import UserError
from noisetune.sweep.home import Home
from noisetune.sweep.results import SweepResults
from noisetune.sweep.run import run_sweep
from noisetune.tracking.outbox import read_messages

SPACE = {"parameters": {"finetune.lr": {"choices": [0.001, 0.003]}}}
GIVEN = {**SWEEP, "name": "mine", "trial": TRIAL | {"pretrain": {"method": "none"}}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> SweepResults:
    with without_ray():
        return run_sweep(GIVEN, SPACE, mlruns=tmp_path_factory.mktemp("mlruns"))


@pytest.fixture
def home(finished: SweepResults, tmp_path: Path) -> Iterator[Home]:
    """The sweep, which is put back afterwards as it was."""
    folder, copy = finished.home.sweep("mine"), tmp_path / "copy"
    shutil.copytree(folder, copy)
    yield finished.home
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)


def resume(home: Home) -> SweepResults:
    with without_ray():
        return run_sweep(GIVEN, SPACE, mlruns=home.root, resume=True)


def flip(file: Path, line: int) -> None:
    lines = file.read_bytes().splitlines(True)
    middle = len(lines[line]) // 2
    lines[line] = lines[line][:middle] + b"\xff" + lines[line][middle + 1 :]
    file.write_bytes(b"".join(lines))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20] + b"\n")


def replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "bit": lambda file: flip(file, 3),
    "last bit": lambda file: flip(file, -1),
    "cut": cut,
    "zero": lambda file: file.write_bytes(b""),
    "zeros": lambda file: file.write_bytes(bytes(9000)),
    "folder": replace_by_folder,
    "gone": lambda file: file.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(
    "name", ["ledger.journal", pytest.param("outbox.jsonl", marks=pytest.mark.long)]
)
def test_a_look_is_a_table_or_one_message_and_changes_nothing(
    home: Home, noisetune: Callable[..., Any], name: str, damage: str
) -> None:
    file = home.sweep("mine") / name
    DAMAGE[damage](file)
    before = file.read_bytes() if file.is_file() else None
    for words in (("status", "mine"), ("status", "mine", "--trials"), ("best", "mine"), ("list",)):
        answer = noisetune(*words, "--mlruns", home.root)
        assert answer.code in (0, 2)
        assert answer.err.count("error: ") == (answer.code == 2)
        assert answer.code == 0 or str(file) in answer.err or name == "outbox.jsonl"
    assert (file.read_bytes() if file.is_file() else None) == before
    assert not list(file.parent.glob("*.damaged-*"))


@pytest.mark.parametrize("damage", ["bit", "zero", "zeros", "folder", "gone"])
def test_a_resume_over_a_lost_ledger_is_one_message(home: Home, damage: str) -> None:
    file = home.ledger_file("mine")
    DAMAGE[damage](file)
    outbox = home.outbox("mine").read_bytes()
    with pytest.raises(UserError) as refused:
        resume(home)
    assert str(file) in str(refused.value)
    assert home.outbox("mine").read_bytes() == outbox


@pytest.mark.parametrize("damage", ["last bit", "cut"])
def test_a_resume_cuts_the_damaged_end_of_a_ledger_and_goes_on(home: Home, damage: str) -> None:
    file = home.ledger_file("mine")
    DAMAGE[damage](file)
    damaged = file.read_bytes()
    trials = resume(home).trials()
    assert trials["state"].to_list() == ["complete", "complete"]
    aside = file.with_name("ledger.journal.damaged-1").read_bytes()
    assert damaged.endswith(aside)
    assert file.read_bytes().startswith(damaged.removesuffix(aside))


@pytest.mark.parametrize("damage", ["zero", "zeros", "gone"])
def test_what_the_ledger_knows_fills_an_empty_outbox(
    finished: SweepResults, home: Home, damage: str
) -> None:
    before = [*read_messages(home.outbox("mine"))]
    DAMAGE[damage](home.outbox("mine"))
    resume(home)
    after = [*read_messages(home.outbox("mine"))]
    for kind, fields in {
        "started": ("trial", "condition", "trial_kind", "parameters"),
        "ended": ("trial", "state", "reason", "values"),
        "artifact": ("path", "text"),
        "tags": ("trial", "tags"),
    }.items():
        told = [
            [[each[name] for name in fields] for each in messages if each["kind"] == kind]
            for messages in (before, after)
        ]
        assert told[0]
        assert told[1] == told[0]


def test_a_damaged_line_that_was_delivered_forbids_no_resume(home: Home) -> None:
    file = home.outbox("mine")
    count = len([*read_messages(file)])
    flip(file, 3)
    with pytest.raises(UserError, match=rf"{file} line 4 is damaged"):
        SweepResults("mine", home).curves()
    resume(home)
    assert len([*read_messages(file)]) > count - 1
    assert len(SweepResults("mine", home).curves()) > 0


def test_a_folder_in_the_place_of_the_outbox_is_one_message(home: Home) -> None:
    DAMAGE["folder"](home.outbox("mine"))
    with pytest.raises(UserError, match=r"outbox .*outbox\.jsonl: cannot be written"):
        resume(home)

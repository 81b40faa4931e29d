"""A ledger in a database: SQLite here, and a real PostgreSQL under the marker `system`."""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up import Play
from postgres import postgres
from ray import cloudpickle
from real_sweep import SWEEP, TRIAL, Seen, prepare, run, without_ray
from sqlalchemy import create_engine, text

from noisetune.errors import UserError
from noisetune.pipeline import run_trial
from noisetune.records import Tick
from noisetune.store import Lease, LeaseLost
from noisetune.sweep.home import Home
from noisetune.sweep.results import SweepResults, load_sweep
from noisetune.sweep.run import run_sweep
from noisetune.sweep.study.lease import claim_sweep
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.ledger_database import Place, own_database, read_database, shown
from noisetune.sweep.study.recorded import read_ledger

SPACE = {
    "conditions": {"noise.rate": [0.2, 0.4]},
    "parameters": {"finetune.lr": {"choices": [0.001, 0.003]}},
}
GIVEN = {**SWEEP, "name": "mine", "trial": TRIAL | {"pretrain": {"method": "none"}}}
SIZES: dict[str, Any] = {"trials_per_condition": 3, "replicates": 0, "pruner": {"name": "none"}}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.system)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledgers.db"
    return new_database(request.getfixturevalue("server"), f"db{abs(hash(tmp_path))}")


def new_database(server: str, name: str) -> str:
    with create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    return f"{server}/{name}"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "mlruns")


def drive(home: Home, ledger: str | None, **options: Any) -> SweepResults:
    given = {**GIVEN, **options.pop("sweep", {})}
    with without_ray():
        return run_sweep(given, SPACE, mlruns=home.root, ledger=ledger, **options)


@pytest.mark.long
def test_a_sweep_is_the_same_in_a_database(
    home: Home, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, noisetune: Any
) -> None:
    in_file = drive(Home(tmp_path / "file"), None).trials()
    trials = drive(home, url).trials()
    columns = ["trial", "state", "finetune.lr", "objective", "test/accuracy_at_last"]
    assert trials[columns].equals(in_file[columns])
    assert not home.ledger_file("mine").exists()
    password = {"postgresql": "s3cret"}.get(url.partition(":")[0], "")
    monkeypatch.setenv("PGPASSWORD", password)
    assert not password or password not in home.ledger_note("mine").read_text()
    for words in (("status", "mine", "--trials"), ("best", "mine"), ("list",)):
        answer = noisetune(*words, "--mlruns", home.root)
        assert (answer.code, answer.err) == (0, "")
        assert "noise.rate" in answer.out
    assert "4 of 4" in answer.out
    grown = drive(home, None, resume=True, sweep={"replicates": 1})
    assert grown.trials()["state"].to_list() == ["complete"] * 6
    assert len(load_sweep("mine", mlruns=home.root, ledger=url).trials()) == 6


AT_ONCE = 4


def together(folder: Path) -> Callable[..., Any]:
    """The pipeline, of trials that begin only when AT_ONCE processes have one."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])

    def pipeline(*arguments: Any) -> Any:
        (folder / str(os.getpid())).touch()
        while len(list(folder.iterdir())) < AT_ONCE:
            yield Tick("finetune", 0.0)
            time.sleep(0.1)
        return (yield from run_trial(*arguments))

    return pipeline


@pytest.mark.system
@pytest.mark.long
def test_a_postgresql_holds_a_sweep_with_several_trials_at_once(
    home: Home, tmp_path: Path, server: str, ray_at_hand: None
) -> None:
    here = tmp_path / "processes"
    here.mkdir()
    url = new_database(server, "at_once")
    space = SPACE | {"parameters": {"finetune.lr": {"choices": [0.001, 0.002, 0.003, 0.004]}}}
    sweep = prepare(space, "mine", trial=GIVEN["trial"], resources={"cpu": 0.5})
    seen = Seen()
    assert run(Home(home.root, url), sweep, [seen], together(here)).finished
    assert len(list(here.iterdir())) == AT_ONCE
    storage = read_database(url)
    assert storage is not None
    records = Ledger(storage, "mine").records(sweep.cells)
    assert [record.state for record in records] == ["complete"] * 8
    assert {record.name: record.objective for record in records} == {
        name: record.objective for name, record in seen.ends.items()
    }
    with create_engine(url).connect() as connection:
        rows = connection.execute(text("SELECT trial_id, step FROM trial_intermediate_values"))
        steps = Counter(step for _, step in rows)
    assert steps == {1: 8, 2: 8}


@pytest.mark.long
def test_two_sweeps_share_a_database_and_one_warms_the_other(home: Home, url: str) -> None:
    drive(home, url)
    drive(home, None, sweep={"name": "filed"})
    sampler = {"name": "tpe", "n_startup_trials": 1}
    later = {"name": "later", "warm_start": ["mine", "filed"], "sampler": sampler}
    assert len(drive(home, url, sweep=later | {"trials_per_condition": 1}).trials()) == 2
    assert home.names() == ["filed", "later", "mine"]


class TakenOver:
    """A driver over a database, and a way to take its sweep from it."""

    def __init__(self, home: Home, url: str, open_scheduler: Callable[..., Play]) -> None:
        self.home, self.url = home, url
        self.lease = claim_sweep(home, "made-up")
        self.play = open_scheduler(storage=own_database(url, self.lease), **SIZES)

    def take_over(self) -> Lease:
        for held in (self.home.sweep("made-up") / "driver").glob("lease-*"):
            os.utime(held, (0, 0))
        return claim_sweep(self.home, "made-up")

    def content(self) -> dict[str, list[Any]]:
        """Every row of every table."""
        with create_engine(self.url).connect() as connection:
            names = ("studies", "trials", "trial_params", "trial_values", "study_user_attributes")
            names += ("trial_user_attributes", "trial_intermediate_values")
            found = {name: connection.execute(text(f"SELECT * FROM {name}")) for name in names}
            return {name: sorted(map(str, rows)) for name, rows in found.items()}


@pytest.fixture
def taken(home: Home, url: str, open_scheduler: Callable[..., Play]) -> Iterator[TakenOver]:
    driver = TakenOver(home, url, open_scheduler)
    with driver.lease:
        yield driver


def test_a_superseded_driver_writes_nothing(taken: TakenOver) -> None:
    job = taken.play.next()
    before = taken.content()
    with taken.take_over():
        for write in (
            lambda: job.asked.study.ask(),
            lambda: job.asked.study.set_user_attr("note", 1),
            lambda: job.trial.set_user_attr("reason", "late"),
            lambda: job.trial.report(0.5, 1),
            lambda: job.asked.study.tell(job.trial, 0.5),
            lambda: taken.play.ledger.redefine({"new": 1}),
            lambda: own_database(taken.url, taken.lease),
        ):
            with pytest.raises(LeaseLost):
                write()
        assert len(taken.play.records()) == 1  # to read is free
    assert taken.content() == before


def test_the_successor_ends_what_was_begun(
    taken: TakenOver, open_scheduler: Callable[..., Play]
) -> None:
    taken.play.next()
    with taken.take_over() as lease:
        after = open_scheduler(storage=own_database(taken.url, lease), **SIZES)
        jobs = after.run_all(lambda job: [0.5])
        assert [job.name for job in jobs] == ["all trial 0", "all trial 1", "all trial 2"]
    storage = read_database(taken.url)
    assert storage is not None
    assert len(Ledger(storage, "made-up").records([("all", {})])) == 3


def test_a_lease_that_is_lost_before_the_commit_leaves_nothing(
    taken: TakenOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, checks = taken.content(), iter([None])

    def lost(lease: Lease) -> None:
        if next(checks, "lost"):
            raise LeaseLost("lost")

    with monkeypatch.context() as patch:
        patch.setattr(Lease, "check", lost)
        with pytest.raises(LeaseLost):
            taken.play.ledger.redefine({"new": 1})
    assert taken.content() == before


@pytest.mark.long
def test_another_folder_does_not_drive_a_sweep_of_the_same_name(
    home: Home, tmp_path: Path, url: str
) -> None:
    drive(home, url)
    for resume in (False, True):
        with pytest.raises(UserError, match=r"begun from another mlruns.*--mlruns.*--name"):
            drive(Home(tmp_path / "other"), url, resume=resume)
    assert not (tmp_path / "other").exists()
    assert len(drive(home, url, resume=True).trials()) == 4


def test_a_look_makes_nothing(home: Home, tmp_path: Path) -> None:
    assert read_database(f"sqlite:///{tmp_path}/none.db") is None
    assert read_ledger(Home(home.root, f"sqlite:///{tmp_path}/none.db"), "mine") is None
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_has_no_sweep(home: Home, url: str) -> None:
    create_engine(url).connect().close()
    assert read_ledger(Home(home.root, url), "mine") is None


@pytest.mark.long
def test_the_ledger_stays_where_it_is(home: Home, tmp_path: Path) -> None:
    here, there = (f"sqlite:///{tmp_path}/{name}.db" for name in ("here", "there"))
    drive(home, here)
    drive(home, None, sweep={"name": "filed"})
    with pytest.raises(UserError, match=r"--ledger: the ledger of sweep 'mine' is at sqlite.*here"):
        drive(home, there, resume=True)
    with pytest.raises(UserError, match=r"--ledger: the ledger of sweep 'filed' is the file"):
        drive(home, here, resume=True, sweep={"name": "filed"})
    (tmp_path / "here.db").unlink()
    with pytest.raises(UserError, match=r"here\.db: holds no sweep, though .*outbox"):
        drive(home, None, resume=True)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"url": "sqlite', "\x00"])
def test_a_damaged_note_is_one_message(home: Home, content: str) -> None:
    home.sweep("mine").mkdir(parents=True)
    home.ledger_note("mine").write_text(content)
    with pytest.raises(UserError, match=r"ledger\.json: cannot be read"):
        read_ledger(home, "mine")


@pytest.mark.parametrize(
    ("ledger", "sweep", "message"),
    [
        ("ledgers.db", {}, r"ledgers\.db is no database's URL"),
        ("nothing://x/y", {}, "is no database's URL"),
        ("sqlite://", {}, "give a file"),
        ("sqlite:///{}/none/ledgers.db", {}, "there is no folder"),
        ("sqlite:///{}/broken.db", {}, "cannot be used"),
        ("postgresql+psycopg2://me:secret@127.0.0.1:1/x", {}, r"me:\*\*\*@.*psycopg2"),
        ("sqlite:///{}/l.db", {"sampler": {"name": "cmaes"}}, "cmaes keeps pickled objects"),
    ],
)
def test_what_cannot_be_is_one_message(
    home: Home,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ledger: str,
    sweep: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg2", None)
    (tmp_path / "broken.db").write_bytes(b"no database at all" * 99)
    space = {"parameters": {"finetune.lr": {"low": 0.001, "high": 0.003}}}
    given = {**GIVEN, "trials_per_condition": 2, "sampler": {"name": "random"}, **sweep}
    with without_ray(), pytest.raises(UserError, match=message) as refused:
        run_sweep(given, space, mlruns=home.root, ledger=ledger.format(tmp_path))
    assert "secret" not in str(refused.value)
    assert not home.sweep("mine").exists()


def test_a_note_has_no_password_and_the_whole_path_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place.new("postgresql://me:s3cret@host/x?password=s3cret&sslmode=require")
    assert place.url == "postgresql://me@host/x?sslmode=require"
    monkeypatch.chdir(tmp_path)
    assert shown("sqlite:///ledgers.db") == f"sqlite:///{tmp_path}/ledgers.db"
    place.write(tmp_path / "note")
    assert Place.read(tmp_path / "note") == place
    assert json.loads((tmp_path / "note").read_text())["identity"] == place.identity


@pytest.mark.system
def test_a_postgresql_that_is_gone_or_refuses_is_one_message(home: Home) -> None:
    with postgres() as server:
        url = f"{server}/postgres"
        drive(home, url)
        with pytest.raises(UserError, match=r"--ledger: .*me:\*\*\*@.*password"):
            load_sweep("mine", mlruns=home.root, ledger=url.replace("s3cret", "wrong"))
    with pytest.raises(UserError, match=r"--ledger: .* does not answer"):
        load_sweep("mine", mlruns=home.root, ledger=url)

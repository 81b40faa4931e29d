"""What does not answer is one message within a stated time, before anything starts."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from real_sweep import SWEEP, without_ray

from noisetune import answers, run_sweep
from noisetune.answers import answer_within, check_database, connect_options, without_password
from noisetune.errors import UserError
from noisetune.store import open_answering
from noisetune.tracking import tracker

SPACE = {"parameters": {"finetune.lr": {"choices": [0.001]}}}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    assert answers.ANSWER_SECONDS == 15.0
    monkeypatch.setattr(answers, "ANSWER_SECONDS", 0.2)


@pytest.fixture
def silent() -> Iterator[str]:
    """HOST:PORT of a server that takes every connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    """HOST:PORT where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_an_answer_or_an_error_is_handed_on() -> None:
    def wrong() -> None:
        raise KeyError("x")

    assert answer_within(20.0, lambda: 3) == 3
    assert answer_within(20.0, lambda: None) is None
    with pytest.raises(KeyError):
        answer_within(20.0, wrong)


def test_silence_ends_and_is_left_behind() -> None:
    over = threading.Event()
    with pytest.raises(TimeoutError, match=r"no answer in 0\.1 s"):
        answer_within(0.1, over.wait)
    over.set()


@pytest.mark.parametrize("protocol", ["http", "ftp"])
def test_a_store_that_is_silent_is_one_message(impatient: None, silent: str, protocol: str) -> None:
    with pytest.raises(UserError, match=r"--store: \w+://[\d.:]+/x does not answer \(no answer in"):
        open_answering(f"{protocol}://{silent}/x", "--store")


@pytest.mark.parametrize("protocol", ["http", "ftp"])
def test_a_store_where_nobody_is_is_one_message(closed: str, protocol: str) -> None:
    with pytest.raises(UserError, match=r"--store: \w+://[\d.:]+/x does not answer .*a folder"):
        open_answering(f"{protocol}://{closed}/x", "--store")


@pytest.mark.parametrize("url", ["memory://answering", "local://{}/objects", "{}/folder"])
def test_a_store_that_answers_is_opened(tmp_path: Path, url: str) -> None:
    assert open_answering(url.format(tmp_path), "--store").list() is not None


def test_nothing_starts_over_a_store_that_does_not_answer(tmp_path: Path, closed: str) -> None:
    mlruns = tmp_path / "mlruns"
    with without_ray(), pytest.raises(UserError, match=r"^--store: ftp://.* does not answer"):
        run_sweep({**SWEEP, "name": "x"}, SPACE, mlruns=mlruns, store=f"ftp://{closed}/stages")
    assert not mlruns.exists()


@pytest.mark.parametrize("words", [("store", "ls", "--url"), ("store", "verify", "--url")])
def test_the_commands_of_a_store_say_it_too(
    noisetune: Callable[..., Any], closed: str, words: tuple[str, ...]
) -> None:
    answer = noisetune(*words, f"ftp://{closed}/stages")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "--url: ftp://" in answer.err


@pytest.mark.parametrize("driver", ["postgresql+psycopg2", "mysql+pymysql"])
def test_a_driver_that_is_missing_is_called_missing(
    monkeypatch: pytest.MonkeyPatch, closed: str, driver: str
) -> None:
    module = driver.partition("+")[2]
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(UserError) as refused:
        check_database("--tracking-uri", f"{driver}://me:secret@{closed}/x", "start it")
    assert module in str(refused.value)
    assert "does not answer" not in str(refused.value)
    assert "secret" not in str(refused.value)


class Engine:
    """An engine whose server is silent."""

    def __init__(self, connect: Callable[[], object]) -> None:
        self.connect = connect


def test_a_database_that_is_silent_is_one_message(
    impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    over, given = threading.Event(), {}

    def create_engine(url: str, **options: Any) -> Engine:
        given.update(options)
        return Engine(over.wait)

    monkeypatch.setattr(sqlalchemy, "create_engine", create_engine)
    monkeypatch.setattr(tracker, "_open_runs", lambda *_, **__: pytest.fail("MLflow was asked"))
    began = time.monotonic()
    with pytest.raises(UserError, match=r"--tracking-uri: postgresql://me:\*\*\*@h/x does not ans"):
        tracker.check_tracking("postgresql://me:secret@h/x", "mine", None)
    assert time.monotonic() - began < 10
    assert "connect_timeout" in given["connect_args"]
    over.set()


def test_drivers_are_told_when_to_give_up() -> None:
    assert connect_options("postgresql+psycopg://h/x") == {"connect_timeout": 15}
    assert connect_options("sqlite:///x") == {}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:p%40ss@host:5432/x", "postgresql://me:***@host:5432/x"),
        ("postgresql+psycopg://me:a@b:c@host/x", "postgresql+psycopg://me:***@host/x"),
        ("http://127.0.0.1:5000/a@b", "http://127.0.0.1:5000/a@b"),
        ("sqlite:////tmp/a:b@c", "sqlite:////tmp/a:b@c"),
        ("postgresql://:secret@host/x", "postgresql://:***@host/x"),
        ("postgresql://host/x?password=a&user=me", "postgresql://host/x?password=***&user=me"),
    ],
)
def test_a_password_is_shown_nowhere(url: str, shown: str) -> None:
    assert without_password(url) == shown
    assert without_password(f"cannot reach {url} today") == f"cannot reach {shown} today"

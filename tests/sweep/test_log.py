"""The log of a sweep: what it said, how its trials ended, and tracebacks."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_sweep import SWEEP, TRIAL, without_ray

from noisetune import run_sweep
from noisetune.errors import UserError
from noisetune.sweep.home import Home
from noisetune.sweep.log import SAID, sweep_log

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (INFO|WARNING|ERROR) +")
SCRATCH = TRIAL | {"pretrain": {"method": "none"}}
RATES = {"parameters": {"finetune.lr": {"choices": [0.001, 0.003]}}}


@pytest.fixture
def here() -> Iterator[None]:
    with without_ray():
        yield


def swept(mlruns: Path, **options: Any) -> list[str]:
    given = {**SWEEP, "name": "mine", "trial": SCRATCH}
    heard: list[str] = []
    run_sweep(given, RATES, mlruns=mlruns, say=heard.append, **options)
    return heard


def test_the_log_has_what_was_said_and_how_trials_ended(here: None, tmp_path: Path) -> None:
    heard = swept(tmp_path)
    lines = Home(tmp_path).log("mine").read_text().splitlines()
    assert all(LINE.match(line) for line in lines)
    texts = [LINE.sub("", line) for line in lines]
    assert set(heard) <= set(texts)
    for trial in ("all trial 0", "all trial 1"):
        (ended,) = (text for text in texts if text.startswith(f"{trial}: complete objective 0."))
        assert texts.index(f"{trial}: started") < texts.index(ended)
    again = swept(tmp_path, resume=True)
    more = Home(tmp_path).log("mine").read_text().splitlines()
    assert more[: len(lines)] == lines
    assert again[-1] in more[-1]


def test_a_sweep_that_is_refused_leaves_no_line(here: None, tmp_path: Path) -> None:
    swept(tmp_path)
    before = Home(tmp_path).log("mine").read_text()
    with pytest.raises(UserError, match="exists already"):
        swept(tmp_path)
    assert Home(tmp_path).log("mine").read_text() == before


def stumble() -> None:
    logging.getLogger("noisetune.store").warning("set aside")
    SAID.info("said [bold]")
    raise ZeroDivisionError("by nothing")


def test_what_is_raised_and_warned_of_is_logged_and_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    with pytest.raises(ZeroDivisionError, match="by nothing"), sweep_log(file):
        stumble()
    SAID.info("after")
    text = file.read_text()
    assert " WARNING set aside\n" in text
    assert " INFO    said [bold]\n" in text
    assert " ERROR   ZeroDivisionError: by nothing\nTraceback (most recent" in text
    assert "after" not in text


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "log.txt").mkdir()
    with sweep_log(tmp_path / "log.txt"):
        SAID.info("said")
    assert not list((tmp_path / "log.txt").iterdir())


def test_warnings_are_seen_where_no_logging_was_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with sweep_log(tmp_path / "log.txt"):
        logging.getLogger("noisetune.store").warning("set aside")
        SAID.error("said")
    assert capsys.readouterr().err == "set aside\n"
    assert logging.getLogger().handlers == []

"""`--quiet` and `--verbose`: what a command says."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from noisetune.cli.volume import TERMINAL, TerminalLog, set_volume
from noisetune.errors import UserError

FAILED = (
    "noise.rate=0.2 trial 0 failed\nTraceback (most recent call last):\n  File x\nError: boom\n"
)


@pytest.fixture(autouse=True)
def normal_again() -> Iterator[None]:
    yield
    set_volume(False, False)


def shown(capsys: pytest.CaptureFixture[str], volume: Any, name: str, level: int, text: str) -> str:
    handler = TerminalLog()
    handler.volume = volume
    handler.handle(logging.LogRecord(name, level, "", 0, "%s", (text,), None))
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("level", "name", "volumes"),
    [
        (logging.ERROR, "noisetune.store", ["quiet", "normal", "verbose"]),
        (logging.WARNING, "noisetune.store", ["normal", "verbose"]),
        (logging.INFO, "noisetune.data.folder", ["normal", "verbose"]),
        (logging.INFO, "noisetune.store", ["verbose"]),
        (logging.WARNING, "ray", ["normal", "verbose"]),
        (logging.DEBUG, "ray", []),
    ],
)
def test_how_much_is_said_of_what(
    capsys: pytest.CaptureFixture[str], level: int, name: str, volumes: list[str]
) -> None:
    every = ("quiet", "normal", "verbose")
    assert [each for each in every if shown(capsys, each, name, level, "x")] == volumes


def test_a_traceback_is_for_the_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    name, level = "noisetune.sweep", logging.ERROR
    brief = "ERROR noisetune.sweep: noise.rate=0.2 trial 0 failed: Error: boom\n"
    assert shown(capsys, "normal", name, level, FAILED) == brief
    assert shown(capsys, "verbose", name, level, FAILED).rstrip() == (
        f"ERROR noisetune.sweep: {FAILED}".rstrip()
    )


def test_quiet_and_verbose_exclude_each_other() -> None:
    with pytest.raises(UserError, match="--quiet and --verbose: give one of the two"):
        set_volume(True, True)
    assert set_volume(True, False) == TERMINAL.volume == "quiet"


def test_a_quiet_run_prints_its_result_alone(noisetune: Callable[..., Any], tmp_path: Path) -> None:
    trial = {
        "data": {"train_samples": 60, "test_samples": 30},
        "model": {"width": 4},
        "pretrain": {"method": "none"},
        "finetune": {"epochs": 1, "batch_size": 16},
        "runtime": {"threads": 1},
    }
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(trial))
    said = noisetune("run", tmp_path / "one.yaml", "--mlruns", tmp_path / "mlruns", "--quiet")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("accuracy by choice of epoch; ")
    assert said.out.splitlines()[-1] == f"result written to {tmp_path / 'one.result.json'}"

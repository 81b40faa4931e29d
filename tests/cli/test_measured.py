"""Benchmarks' figures as they are printed, at 80 columns."""

import json
from typing import Any

import pytest

from noisetune.cli.measured import show, show_arms

KNOWN = {"ratio": 2.5, "low": 2.41, "high": 2.58}
UNKNOWN = {"ratio": 0.9, "low": None, "high": None}
MEASURED: dict[str, Any] = {
    "rounds": 7,
    "within": 0.05,
    "ratios": {"pretrain to public": {"wall": KNOWN, "cpu": UNKNOWN}},
    "wide": ["pretrain to public (cpu)"],
    "warning": "other work was on the machine",
}
ARMS = {"trials": 36, "regret of the chosen (points)": 0.0, "wall seconds": 10.0}


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    return " ".join(out.split())


def test_a_ratio_has_its_interval_and_what_to_beware_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show({"threads": 2, **MEASURED}, as_json=False)
    out = printed(capsys)
    assert "threads 2" in out
    assert "pretrain to public 2.5 2.41..2.58 0.9 -" in out
    assert "not known within 5%: pretrain to public (cpu)" in out
    assert "takes six rounds" in out
    assert "warning: other work was on the machine" in out


def test_a_measurement_within_another_has_a_table_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    inner = MEASURED | {"ratios": {"two halves": {"wall": KNOWN, "cpu": KNOWN}}, "rounds": 3}
    show({**MEASURED, "side_by_side": inner, "side_by_side_ratio": 2.5}, as_json=False)
    out = printed(capsys)
    assert "two halves 2.5 2.41..2.58 2.5 2.41..2.58" in out
    assert "median over 7 rounds" in out
    assert "median over 3 rounds" in out


def test_what_knows_all_and_met_no_other_work_says_nothing_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show({**MEASURED, "wide": [], "warning": None}, as_json=False)
    out = printed(capsys)
    assert "not known" not in out
    assert "six rounds" not in out
    assert "warning" not in out


def test_two_ways_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    ours = ARMS | {"trials": 18, "wall seconds": 4.0, "regret of the chosen (points)": 0.0}
    show_arms({"stock": ARMS, "noisetune": ours, **MEASURED}, ("stock", "noisetune"), as_json=False)
    out = printed(capsys)
    assert "trials 36 18 2 " in out
    assert "regret of the chosen (points) 0 0 -" in out
    assert "wall seconds 10 4 2.5" in out


def test_a_program_reads_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"stock": ARMS, "noisetune": ARMS, **MEASURED}
    show_arms(figures, ("stock", "noisetune"), as_json=True)
    assert json.loads(capsys.readouterr().out) == figures

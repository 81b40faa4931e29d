"""What `noisetune run` shows: its bars, and its table in the style of all others."""

import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from noisetune.cli import run_command
from noisetune.cli.run_command import Bars
from noisetune.config import TrialConfig
from noisetune.records import FINETUNE, PRETRAIN, MetricPoint


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_clock_of_a_stage_is_whole_beside_its_metrics(
    tiny_trial: Callable[..., TrialConfig], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    console = Console(width=width, file=io.StringIO())
    monkeypatch.setattr(run_command, "console", console)
    metrics = dict.fromkeys(["train/loss", "val/accuracy", "test/accuracy"], 0.5)
    with Bars(tiny_trial()) as bars:
        bars.show(MetricPoint(PRETRAIN, 1, {"pretrain/loss": 4.0}))
        bars.show(MetricPoint(FINETUNE, 2, dict(metrics)))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert len(re.findall(r" \d:\d\d:\d\d( |$)", shown, re.MULTILINE)) == 2
    assert all(f"{name} 0.500" in " ".join(shown.split()) for name in metrics)
    assert max(map(len, shown.splitlines())) <= width

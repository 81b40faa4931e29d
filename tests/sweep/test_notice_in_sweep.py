"""`--notify` on a sweep that runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from real_sweep import SWEEP, TRIAL, without_ray

from noisetune.cli.notice import Notice

URL = "http://127.0.0.1:1/hook"


def test_a_sweep_tells_whom_the_command_or_the_environment_names(
    noisetune: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(Notice, "_post", lambda notice, what: told.append((notice.url, what)))
    sweep = {**SWEEP, "name": "mine", "search_space": "space.yaml"}
    sweep["trial"] = TRIAL | {"pretrain": {"method": "none"}}
    space = {"parameters": {"finetune.lr": {"choices": [0.001]}}}
    for name, content in (("sweep", sweep), ("space", space)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    options = ("--mlruns", tmp_path / "mlruns", "--quiet")
    with without_ray():
        said = noisetune("sweep", tmp_path / "sweep.yaml", *options, "--notify", URL)
        monkeypatch.setenv("NOISETUNE_NOTIFY", URL)
        again = noisetune("resume", "mine", *options)
    assert (said.code, said.err, again.code) == (0, "", 0)
    assert said.out.startswith("chosen by val/accuracy")
    assert "next:" not in said.out
    finished = {"sweep": "mine", "state": "finished", "counts": {"complete": 1}}
    assert told == [(URL, finished)] * 2

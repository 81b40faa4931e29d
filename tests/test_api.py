"""What a notebook calls: `noisetune.run_sweep`, `run_trial`, `load_sweep`, and their page."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import noisetune
from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.records import MetricPoint

PAGE = Path(__file__).resolve().parents[1] / "docs" / "python.md"
HEAVY = {"ray", "optuna", "mlflow", "torch", "pandas", "numpy"}
LIGHT = "import sys, noisetune; print(*sys.modules); print(*dir(noisetune))"


def test_importing_it_is_light() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    modules, names = done.stdout.splitlines()
    assert {name.split(".")[0] for name in modules.split()} & HEAVY == set()
    assert {"run_sweep", "run_trial", "load_sweep", "SweepResults"} <= set(names.split())


@pytest.mark.parametrize("name", noisetune.__all__)
def test_all_that_it_names_is_there(name: str) -> None:
    assert getattr(noisetune, name)


def test_what_it_does_not_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'run_swep'"):
        noisetune.run_swep  # noqa: B018


@pytest.mark.long
def test_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, ray_at_hand: None
) -> None:
    """Its blocks one after the other, as a reader runs them."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    said = capsys.readouterr().out
    assert "starting Ray on this machine ..." in said
    assert "pretrain.method=simclr replicate 1" in said
    assert set(names["trials"]["state"]) == {"complete"}
    assert names["winners"]["replicates"].to_list() == [2, 2]
    assert [len(each.true) for each in names["kept"]] == [100] * 4


def test_the_page_names_every_column(tmp_path: Path) -> None:
    from noisetune.sweep.results import ACCURACY, CURVES, END

    text = PAGE.read_text()
    assert all(f"`{column}`" in text for column in (*ACCURACY, *CURVES, *END, "objective"))


@pytest.mark.parametrize("given", ["path", "text", "mapping", "config"])
def test_a_trial_is_run_however_it_is_given(
    given: str, tmp_path: Path, tiny_trial: Callable[..., TrialConfig]
) -> None:
    config = tiny_trial(pretrain={"method": "none"})
    file = tmp_path / "trial.yaml"
    file.write_text(yaml.safe_dump(config.to_json()))
    forms = {"path": file, "text": str(file), "mapping": config.to_json(), "config": config}
    events: list[Any] = []
    result = noisetune.run_trial(forms[given], mlruns=tmp_path, on_event=events.append)
    points = [event for event in events if isinstance(event, MetricPoint)]
    assert [(point.stage, point.step) for point in points][-1] == ("detect", 0)
    assert result.config == config.resolve().to_json()
    assert (tmp_path / "stages").is_dir()


def test_a_trial_that_shares_nothing_leaves_nothing(
    tmp_path: Path, tiny_trial: Callable[..., TrialConfig]
) -> None:
    noisetune.run_trial(tiny_trial(), share=False, mlruns=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_mistake_in_a_trial_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the trial: finetune\.epoch: no such field"):
        noisetune.run_trial({"finetune": {"epoch": 3}}, mlruns=tmp_path)


def test_a_sweep_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no sweep 'mine' in .*; there are: none yet"):
        noisetune.load_sweep("mine", mlruns=tmp_path)

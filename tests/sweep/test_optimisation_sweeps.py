"""How both stages are optimised, searched as any other field is."""

from pathlib import Path
from typing import Any

from real_sweep import Seen, prepare, run_here

from noisetune.sweep.home import Home

SPACE: dict[str, Any] = {
    "conditions": {"pretrain.method": ["simclr"]},
    "parameters": {
        "pretrain.optimizer": {"choices": ["adamw", "lars"]},
        "pretrain.decay": {"choices": ["all", "weights"]},
        "finetune.clip_norm": {"choices": [None, 0.5]},
        "finetune.layer_decay": {"low": 0.5, "high": 1.0},
    },
}


def test_decay_clipping_layers_and_lars_are_searched(tmp_path: Path) -> None:
    seen = Seen()
    sampler = {"name": "random", "seed": 0}
    sweep = prepare(SPACE, "x", sampler=sampler, trials_per_condition=4)
    assert run_here(Home(tmp_path), sweep, [seen]).finished
    trials = list(seen.ends.values())
    assert [trial.state for trial in trials] == ["complete"] * 4
    for trial in trials:
        drawn = {
            name: trial.config[name.split(".")[0]][name.split(".")[1]]
            for name in SPACE["parameters"]
        }
        assert drawn == trial.parameters
    assert len({trial.parameters["finetune.layer_decay"] for trial in trials}) == 4
    assert {trial.parameters["pretrain.optimizer"] for trial in trials} == {"adamw", "lars"}

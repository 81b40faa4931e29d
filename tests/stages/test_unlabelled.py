"""Images without labels are pre-training's, and nobody else's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.stages.gate import FEATURES
from noisetune.stages.pretrain import pretrain_key, pretrain_stage
from noisetune.stages.unlabelled import more_images, pretraining_images


@pytest.fixture
def unlabelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NOISETUNE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "more" / "deeper"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(30):
        pixels = rng.integers(0, 255, (20, 20), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "more"


def with_more(trial: TrialConfig, folder: Path | None) -> TrialConfig:
    pretrain = trial.pretrain.model_copy(update={"unlabelled": folder})
    return trial.model_copy(update={"pretrain": pretrain})


def test_pre_training_sees_them_and_keeps_features_of_its_own(
    unlabelled: Path,
    tiny_trial: Callable[..., TrialConfig],
    inputs_of: Callable[..., Any],
) -> None:
    plain = inputs_of(tiny_trial())
    more = inputs_of(with_more(plain.config, unlabelled))
    seen = pretraining_images(more.config.pretrain, more.data)
    assert len(seen) == 60 + 30
    assert torch.equal(seen[:60], more.data.x_train)
    assert more_images(more.config.pretrain, more.data) == 0.5
    made = []
    for inputs in (plain, more):
        key = pretrain_key(inputs.config, inputs.data)
        assert key is not None
        stage = pretrain_stage(inputs, inputs.config.pretrain, key, 1)
        made.append([*stage.compute(None, lambda step: False)])
    artifacts = [[e.artifact for e in events if hasattr(e, "artifact")][-1] for events in made]
    assert [len(each.tensors[FEATURES]) for each in artifacts] == [60, 60]
    assert not torch.equal(*(each.tensors[FEATURES] for each in artifacts))


def test_the_key_knows_their_content_and_not_their_place(
    unlabelled: Path, tiny_trial: Callable[..., TrialConfig], inputs_of: Callable[..., Any]
) -> None:
    plain = inputs_of(tiny_trial())

    def digest(folder: Path | None) -> str:
        key = pretrain_key(with_more(plain.config, folder), plain.data)
        assert key is not None
        assert "more" not in str(key.inputs.get("pretrain"))
        return key.digest

    before = digest(unlabelled)
    assert digest(None) != before
    moved = unlabelled.rename(unlabelled.with_name("moved"))
    assert digest(moved) == before
    next(moved.rglob("*.png")).unlink()
    assert digest(moved) != before


def test_a_folder_without_images(
    tmp_path: Path, tiny_trial: Callable[..., TrialConfig], inputs_of: Callable[..., Any]
) -> None:
    inputs = inputs_of(tiny_trial())
    method = with_more(inputs.config, tmp_path).pretrain
    with pytest.raises(UserError, match=r"pretrain\.unlabelled: .* has no images"):
        pretraining_images(method, inputs.data)  # type: ignore[arg-type]

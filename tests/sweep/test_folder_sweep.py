"""A folder of images, of several formats and sizes, through the whole of noisetune."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from real_sweep import Seen, prepare, run_here
from sklearn.datasets import load_digits

from noisetune.sweep.home import Home
from noisetune.sweep.preflight import preflight
from noisetune.sweep.spec.sweep import Sweep

TRAIN, TEST = 60, 20
PARTS = {
    "model": {"width": 4},
    "pretrain": {"epochs": 1, "batch_size": 32, "hidden": 8, "projection": 8},
    "finetune": {"epochs": 2, "batch_size": 16},
    "runtime": {"device": "cpu", "threads": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Handwritten digits as PNG and JPEG files, each class in a folder."""
    root = tmp_path_factory.mktemp("images")
    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        if number == TRAIN + TEST:
            break
        place = root / ("train" if number < TRAIN else "test") / f"digit-{label}"
        place.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(np.uint8(pixels * 15)).resize((12 + number % 7, 14))
        image.save(place / f"{number}.{('png', 'jpg')[number % 2]}")
    return root


@pytest.fixture
def data(folder: Path, tmp_path: Path) -> dict[str, Any]:
    settings = {"name": "folder", "root": str(folder), "size": 12, "grey": True, "flip": False}
    return settings | {"cache": str(tmp_path / "cache")}


def test_a_single_run(noisetune: Callable[..., Any], tmp_path: Path, data: dict[str, Any]) -> None:
    config = PARTS | {"data": data, "noise": {"model": "none"}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    said = noisetune("run", tmp_path / "mine.yaml", "--mlruns", tmp_path / "mlruns")
    assert said.code == 0, said.err
    result = json.loads((tmp_path / "mine.result.json").read_text())
    assert 0 <= result["epochs"]["last"]["test/accuracy"] <= 1
    assert result["noise"]["train_rate"] is None
    assert result["detection"]["f1"] is None


def test_a_file_that_is_no_image_ends_a_run_with_its_name(
    noisetune: Callable[..., Any], tmp_path: Path, data: dict[str, Any]
) -> None:
    (tmp_path / "bad.txt").write_text("bad.txt 0\n")
    lists = {"root": str(tmp_path), "train_list": "bad.txt", "test_list": "bad.txt"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"data": data | lists}))
    said = noisetune("run", tmp_path / "mine.yaml", "--mlruns", tmp_path / "mlruns")
    assert said.code == 2
    assert "bad.txt:1: bad.txt is a training image too" in said.err


def test_a_sweep_beside_another_data_set(tmp_path: Path, data: dict[str, Any]) -> None:
    """Its fields apply where they are known; the folder's pre-training serves both its rates."""
    space = {"conditions": {"data.name": ["digits", "folder"], "noise.rate": [0.2, 0.5]}}
    trial = PARTS | {"data": data | {"train_samples": TRAIN, "test_samples": TEST}}
    files = tmp_path / "sweep.yaml", tmp_path / "space.yaml"
    files[0].write_text(
        yaml.safe_dump({"name": "both", "search_space": "space.yaml", "trial": trial})
    )
    files[1].write_text(yaml.safe_dump(space))
    read = Sweep.read(files[0])
    preflight(read)
    assert len(read.conditions) == 4
    seen = Seen()
    run_here(Home(tmp_path / "mlruns"), prepare(space, "both", trial=trial), [seen])
    assert [trial.state for trial in seen.ends.values()] == ["complete"] * 4
    assert len(seen.epochs("pretrain")) == 2
    of_folder = [each for each in seen.ends.values() if each.factors["data.name"] == "folder"]
    for each in of_folder:
        assert each.metrics["detect/memorisation_at_last"] is None
        assert each.config["data"]["root"] == data["root"]

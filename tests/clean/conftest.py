"""What the tests of `clean` share: a few images that two networks can tell apart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

FAST: dict[str, Any] = {
    "patches": 20,
    "model": {"name": "resnet18", "width": 4},
    "pretrain": {"method": "none"},
    "finetune": {"train": "probe", "epochs": 20, "batch_size": 32, "lr": 0.01},
    "detect": {
        "method": "self_confidence",
        "folds": 3,
        "checkpoint": "last",
        "also": [{"method": "aum"}, {"method": "knn", "k": 5}],
    },
    "runtime": {
        "device": "cpu", "precision": "fp32", "channels_last": False, "compile": False, "threads": 1
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOISETUNE_CACHE", str(tmp_path / "cache"))


def picture(upright: bool, number: int) -> Image.Image:
    """Stripes, upright or not, no two alike."""
    rng = np.random.default_rng(number)
    stripes = np.where(np.arange(16) // 2 % 2, 200, 40)
    pixels = np.tile(stripes, (16, 1)) + rng.integers(-20, 20, (16, 16))
    pixels = pixels if upright else pixels.T
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert("RGB")


@pytest.fixture(scope="session")
def make_folders() -> Callable[..., Path]:
    """Class folders `upright` and `flat` of so many images, of which some lie in the wrong one."""

    def make(root: Path, count: int = 20, wrong: int = 0) -> Path:
        for number in range(2 * count):
            upright = number % 2 == 0
            label = upright != (number < wrong)
            folder = root / ("upright" if label else "flat")
            folder.mkdir(parents=True, exist_ok=True)
            picture(upright, number).save(folder / f"{number}.png")
        return root

    return make

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noisetune.data.digits import Config as Digits
from noisetune.data.npz import Config as Npz
from noisetune.datasets import Datasets
from noisetune.store import NullStore
from noisetune.sweep.plan import make_plan
from noisetune.sweep.preflight import preflight
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.order import Order

SIZES = {"data.train_samples": [60, 80], "noise.rate": [0.2, 0.4]}


def test_each_configuration_is_loaded_once() -> None:
    datasets = Datasets()
    small = datasets.load(Digits(train_samples=60))
    assert datasets.load(Digits(train_samples=60)) is small
    assert len(datasets.load(Digits(train_samples=80)).x_train) == 80


def test_another_object_reads_the_files_again(tmp_path: Path) -> None:
    config = Npz(path=tmp_path / "mine.npz")
    for count in (4, 6):
        images, labels = np.zeros((count, 8, 8), np.uint8), np.arange(count) % 2
        parts = {"x_train": images, "y_train": labels, "x_test": images + 1, "y_test": labels}
        np.savez(config.path, **parts)
        assert len(Datasets().load(config).x_train) == count


def test_a_command_loads_each_data_set_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that looks at the data of a sweep takes them from the one object that it is given."""
    loads: list[Any] = []
    load = Digits.load
    monkeypatch.setattr(Digits, "load", lambda self: loads.append(self) or load(self))
    raw = {"name": "x", "search_space": "x", "trial": {"model": {"width": 4}}}
    space = SearchSpace.model_validate({"conditions": SIZES})
    sweep, datasets = Sweep.prepare(parse_sweep(raw, "the test"), space), Datasets()
    preflight(sweep, NullStore(), datasets)
    make_plan(sweep, {"CPU": 1}, NullStore(), measure=False, datasets=datasets)
    order = Order(NullStore(), datasets)
    for condition in sweep.conditions:
        assert order.key(condition.trial({})) is not None
    assert sorted(config.train_samples for config in loads) == [60, 80]

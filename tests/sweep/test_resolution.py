import math
from collections.abc import Callable
from typing import Any

import pytest
from real_sweep import prepare

from noisetune.config import TrialConfig
from noisetune.data.base import DataConfig, ImageData
from noisetune.sweep.resolution import Resolution, resolutions, selecting_labels


def load(config: DataConfig) -> ImageData:
    return config.load()


def of(conditions: dict[str, Any], **sweep: Any) -> list[Resolution]:
    return resolutions(prepare({"conditions": conditions}, "mine", **sweep), load)


def test_a_resolution_by_hand() -> None:
    """Of 60 digits 12 are held out. At rate .45, a slope of .5: .8 shows as .45."""
    (found,) = of({"noise.rate": [0.45]}, replicates=4)
    error = math.sqrt(0.45 * 0.55 / 12)
    assert (found.group, found.labels) == ({"noise.rate": 0.45}, 12)
    assert found.slope == pytest.approx(0.5)
    assert found.one_trial == pytest.approx(error / 0.5)
    assert found.replicates == pytest.approx(error / 0.5 / 2)


def test_there_is_one_for_each_data_and_noise() -> None:
    conditions = {"noise.rate": [0.2, 0.6], "pretrain.method": ["none", "simclr"]}
    found = of(conditions)
    assert [each.group for each in found] == [{"noise.rate": 0.2}, {"noise.rate": 0.6}]
    assert found[0].one_trial < found[1].one_trial


def test_labels_that_tell_nothing_have_none() -> None:
    """Symmetric noise at 9 in 10 leaves the right label as frequent as each wrong one."""
    for rate in (0.9, 0.95):
        (found,) = of({"noise.rate": [rate]})
        assert found.slope <= 1e-9
        assert (found.one_trial, found.replicates) == (None, None)


def test_another_objective_has_none() -> None:
    conditions = {"noise.rate": [0.2]}
    assert of(conditions, objective={"metric": "val/loss"}) == []


def test_without_a_validation_part_the_test_labels_choose(
    tiny_trial: Callable[..., TrialConfig],
) -> None:
    trial = tiny_trial(data={"validation_fraction": 0.0})
    assert selecting_labels(trial, trial.data.load()).count == trial.data.test_samples

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from noisetune.config import PLUGINS
from noisetune.records import MetricPoint, TrialRecord, TrialResult
from noisetune.ssl.base import GivenEncoder, GivenFeatures

POINT = MetricPoint("finetune", 3, {"val/accuracy": 0.1 + 0.2, "detect/memorisation": None})
RESULT = TrialResult(
    config={"replicate": 2},
    epochs={
        "last": {"epoch": 3, "test/accuracy": 0.5, "detect/memorisation": None},
        "noisy_best": {"epoch": 1, "test/accuracy": 0.7, "detect/memorisation": 0.1},
    },
    detection={"f1": 0.25, "precision": None},
    noise={"test_rate": 0.4},
    seconds={"finetune": 1.5},
    overfitting={"test/overfits": 1.0, "val/accuracy_drop": 0.2},
    telemetry={"epoch": 50, "test/probe": 0.9},
)


def test_a_point_survives_json_with_its_first_timestamp() -> None:
    assert MetricPoint.from_json(json.loads(json.dumps(POINT.to_json()))) == POINT


def test_a_point_is_stamped_when_it_is_made() -> None:
    before = time.time()
    assert before <= MetricPoint("detect", 0, {}).made <= time.time()


def test_a_result_survives_json() -> None:
    assert TrialResult.from_json(json.loads(json.dumps(RESULT.to_json()))) == RESULT


def test_a_result_is_flat_metrics_too() -> None:
    assert RESULT.metrics() == {
        "detect/f1": 0.25,
        "detect/precision": None,
        "epoch_at_last": 3,
        "test/accuracy_at_last": 0.5,
        "detect/memorisation_at_last": None,
        "epoch_at_noisy_best": 1,
        "test/accuracy_at_noisy_best": 0.7,
        "detect/memorisation_at_noisy_best": 0.1,
        "epoch_at_pretrained": 50,
        "test/probe_at_pretrained": 0.9,
        "test/overfits": 1.0,
        "val/accuracy_drop": 0.2,
    }


@pytest.mark.parametrize("part", ["telemetry", "overfitting", "cost"])
def test_a_result_of_before_it_had_a_part_can_be_read(part: str) -> None:
    record = json.loads(json.dumps(RESULT.to_json()))
    del record[part]
    assert TrialResult.from_json(record) == replace(RESULT, **{part: {}})


def test_a_trials_seed_is_its_replicate() -> None:
    record = TrialRecord("a", "c", {}, "replicate", 0, "complete", {}, RESULT.config)
    assert record.seed == 2


@pytest.mark.parametrize(
    ("config", "shared"),
    [
        ({"pretrain": {"method": "simclr", "epochs": 9}, "pretrain_seed": "shared"}, True),
        ({"pretrain": {"method": "simclr", "epochs": 9}, "pretrain_seed": "per_replicate"}, False),
        ({"pretrain": {"method": "none"}, "pretrain_seed": "shared"}, False),
        ({"pretrain": {"method": "imagenet"}, "pretrain_seed": "per_replicate"}, True),
        ({"pretrain": {"method": "checkpoint"}, "pretrain_seed": "shared"}, True),
        ({}, False),
    ],
)
def test_replicates_share_an_encoder_that_is_given_or_of_one_seed(
    config: dict[str, Any], shared: bool
) -> None:
    record = TrialRecord("a", "c", {}, "replicate", 0, "complete", {}, config)
    assert record.one_encoder == shared


def test_of_every_method_it_is_known_whether_its_replicates_share_an_encoder() -> None:
    """The rule goes by what a configuration has: no list of methods has to be kept up."""
    for method, config in PLUGINS["pretrain"].items():
        pretrain = dict.fromkeys(config.model_fields) | {"method": method}
        record = TrialRecord("a", "c", {}, "search", 0, "complete", {}, {"pretrain": pretrain})
        assert record.one_encoder == issubclass(config, GivenEncoder | GivenFeatures)

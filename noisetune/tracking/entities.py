"""Messages in MLflow's own words: rows of metrics, parameters, tags, data sets."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from noisetune.texts import shortened
from noisetune.tracking.messages import Message
from noisetune.tracking.names import (
    DATASET_LENGTH,
    DIGEST_LENGTH,
    PARAM_LENGTH,
    TAG_LENGTH,
    safe_name,
)


def metric_rows(message: Message) -> list[Metric]:
    """The rows of a point or of a trial's end; what is undefined has none."""
    time = milliseconds(message["made"])
    return [
        Metric(safe_name(name), float(value), time, message.get("step", 0))
        for name, value in message["values"].items()
        if value is not None
    ]


def safe_parameters(values: Mapping[str, Any]) -> dict[str, str]:
    return {safe_name(name): str(value)[:PARAM_LENGTH] for name, value in values.items()}


def params(values: Mapping[str, str]) -> list[Param]:
    return [Param(name, value) for name, value in values.items()]


def tags(values: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(name, value) for name, value in safe_tags(values).items()]


def safe_tags(values: Mapping[str, str]) -> dict[str, str]:
    return {safe_name(name): value[:TAG_LENGTH] for name, value in values.items()}


def dataset_inputs(given: Sequence[Mapping[str, Any]]) -> list[DatasetInput]:
    """Data sets as the inputs of a run that trains on them."""
    return [
        DatasetInput(
            Dataset(
                shortened(each["name"], DATASET_LENGTH),
                each["digest"][:DIGEST_LENGTH],
                "noisetune",
                json.dumps(each["settings"]),
                profile=json.dumps(each["profile"]),
            ),
            [InputTag(MLFLOW_DATASET_CONTEXT, "training")],
        )
        for each in given
    ]


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)

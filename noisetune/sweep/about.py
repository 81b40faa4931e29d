"""What MLflow shows of a sweep's runs beside what they do, as far as its driver knows it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noisetune.errors import UserError
from noisetune.sweep.spec.config import SweepConfig
from noisetune.tracking.about import About, DataSet
from noisetune.tracking.run_names import condition_words, trial_mark
from noisetune.tracking.source import source_tags

if TYPE_CHECKING:
    from noisetune.data.base import DataConfig
    from noisetune.datasets import Datasets


def names_alone(config: SweepConfig, cells: Sequence[tuple[str, dict[str, Any]]]) -> About:
    """What the ledger alone tells: how its trials are called."""
    # Numbers begin at 0, and a sweep may grow.
    searches = 0 if config.searches is None else config.most_replicates
    most = max(config.search_trials, config.most_replicates, 10) - 1
    return About(condition_words(cells, trial_mark("search", most, searches)))


def about(
    config: SweepConfig,
    cells: Sequence[tuple[str, dict[str, Any]]],
    sources: Sequence[str],
    datasets: "Datasets",
) -> About:
    """All that its driver knows; `sources` are the files that the sweep was read from."""
    file = Path(sources[0]) if sources else Path()
    folder = file.parent if file.is_file() else Path()
    words = names_alone(config, cells).words
    return About(words, source_tags(folder), TrialData(datasets))


class TrialData:
    """The data set of each trial, by its settings; looked at once."""

    def __init__(self, datasets: "Datasets") -> None:
        self._datasets = datasets
        self._seen: dict[str, DataSet] = {}

    def __call__(self, config: Mapping[str, Any]) -> list[DataSet]:
        from noisetune.config import TrialConfig

        settings = json.dumps(config["data"], sort_keys=True)
        if settings not in self._seen:
            try:
                parsed = TrialConfig.parse(dict(config), "ledger").data
            except UserError:
                # A trial of an earlier version, of which only the end is told.
                return []
            self._seen[settings] = self._described(parsed)
        return [self._seen[settings]]

    def _described(self, config: "DataConfig") -> DataSet:
        data = self._datasets.load(config)
        train, test = len(data.x_train), len(data.x_test)
        profile = {"num_rows": train + test, "train": train, "test": test, "classes": data.classes}
        settings = config.model_dump(mode="json")
        return DataSet(config.name, data.fingerprint, settings, profile)

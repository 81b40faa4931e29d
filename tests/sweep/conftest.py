from collections.abc import Callable
from typing import Any

import pytest
from made_up import Heard, Play
from optuna.storages import BaseStorage, InMemoryStorage

from noisetune.sweep.spec.conditions import cross, with_designs
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.drawn import with_drawn_settings
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.scheduler import Scheduler

SPACE = {"parameters": {"finetune.lr": {"low": 1e-4, "high": 1e-2, "log": True}}}
NAME = "made-up"


@pytest.fixture
def open_scheduler() -> Callable[..., Play]:
    """A scheduler for a search space; over the `storage` of an earlier one it goes on there."""

    def build(
        space: dict[str, Any] | None = None, storage: BaseStorage | None = None, **sweep: Any
    ) -> Play:
        defaults = {"name": NAME, "search_space": "-", "sampler": {"name": "random"}}
        trial = {"finetune": {"epochs": 4}}
        config = parse_sweep({"trial": trial, **defaults, **sweep}, "the test")
        conditions = cross(SearchSpace.model_validate(space or SPACE), config.trial)
        if config.pretraining_designs is not None:
            conditions = with_designs(conditions, config.pretraining_designs, config.seed)
        if config.settings is not None:
            conditions = with_drawn_settings(conditions, config.settings, config.seed)
        storage = storage or InMemoryStorage()
        if not Ledger(storage, NAME).begun:
            Ledger.create(storage, NAME, {})
        ledger = Ledger(storage, NAME)
        heard = Heard()
        return Play(Scheduler(config, conditions, ledger, [heard]), ledger, heard)

    return build

"""What the tests of the stages share."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from noisetune.config import TrialConfig
from noisetune.stages.base import Inputs
from noisetune.stages.labels import draw_labels
from noisetune.store import Artifact, Lease, StageKey, Store
from noisetune.training import loop


@pytest.fixture(autouse=True)
def no_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine an epoch of these tests may take a second, and they count what comes."""
    monkeypatch.setattr(loop, "TICK_SECONDS", math.inf)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "stages")


@pytest.fixture
def computed(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages that took a lease on the store, as only those that compute do."""
    taken: list[str] = []
    lease = store.lease

    def counting(key: StageKey) -> Lease | None:
        taken.append(key.stage)
        return lease(key)

    monkeypatch.setattr(store, "lease", counting)
    return taken


@pytest.fixture(scope="session")
def inputs_of() -> Callable[[TrialConfig], Inputs]:
    """What the stages of a trial read."""

    def inputs_of(config: TrialConfig) -> Inputs:
        data = config.data.load()
        return Inputs(config.resolve(), data, draw_labels(config, data))

    return inputs_of


@pytest.fixture(scope="session")
def assert_same() -> Callable[[Artifact, Artifact], None]:
    """Two artifacts are equal: tensors bit for bit, and the values of their points."""

    def assert_same(one: Artifact, other: Artifact) -> None:
        assert one.tensors.keys() == other.tensors.keys()
        for name, tensor in one.tensors.items():
            assert tensor.dtype == other.tensors[name].dtype
            assert tensor.equal(other.tensors[name]), name
        values = [[p["values"] for p in artifact.record["points"]] for artifact in (one, other)]
        assert values[0] == values[1]

    return assert_same

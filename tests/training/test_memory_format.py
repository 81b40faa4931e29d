"""Networks that torch's kernels fail at in fp32 with channels_last are known, and refused."""

from typing import Any

import pytest

from noisetune.config import TrialConfig
from noisetune.errors import UserError
from noisetune.models.resnet18 import Config as ResNet18
from noisetune.training import memory_format
from noisetune.training.memory_format import overruns

SHAPE = (3, 32, 32)


@pytest.fixture
def block(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A processor with blocks of so many channels."""
    monkeypatch.setattr(memory_format, "_block", lambda: request.param)


@pytest.mark.parametrize(
    ("block", "width", "expected"),
    [(8, 7, True), (8, 8, False), (16, 15, True), (16, 16, False), (0, 4, False)],
    indirect=["block"],
)
@pytest.mark.usefixtures("block")
def test_few_channels_in_strided_shortcuts_overrun(width: int, expected: bool) -> None:
    assert overruns(ResNet18(width=width), SHAPE) is expected


def resolved(width: int, **runtime: Any) -> Any:
    settings = {"device": "cpu", "precision": "fp32", "channels_last": True, "compile": False}
    raw = {"model": {"width": width}, "runtime": settings | runtime}
    return TrialConfig.parse(raw, "x").resolve(cpus=1).runtime


@pytest.mark.parametrize("block", [8], indirect=True)
@pytest.mark.usefixtures("block")
def test_channels_last_is_refused_for_such_a_network() -> None:
    with pytest.raises(UserError, match=r"runtime\.channels_last: true.* fewer than 8 channels"):
        resolved(4)
    assert resolved(8).channels_last
    assert resolved(4, precision="bf16").channels_last
    assert not resolved(4, channels_last=False).channels_last
    assert not resolved(4, channels_last="auto").channels_last

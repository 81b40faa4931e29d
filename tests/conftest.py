"""What the tests share."""

import gc
import io
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from hypothesis import settings

import noisetune.sweep  # sets what Ray reads at its import, before any test module imports it
from noisetune import cli
from noisetune.config import PLUGINS, SELECTORS, TrialConfig
from noisetune.seeds import seeded_initialisation

# A loaded machine is slow now and then: no property is one of time.
settings.register_profile("noisetune", deadline=None, max_examples=30)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "noisetune"))

# The networks here are so small that several threads would only wait for each other.
torch.set_num_threads(1)

# What is `auto` is the usual of the device: a measurement takes long, and the load decides it.
os.environ["NOISETUNE_MEASURE"] = "0"

# Else the import of lightly asks a server for its newest version.
os.environ.setdefault("LIGHTLY_DID_VERSION_CHECK", "True")

TINY: dict[str, Any] = {
    "data": {"train_samples": 60, "test_samples": 30},
    "noise": {"rate": 0.4},
    "model": {"width": 4},
    "pretrain": {"epochs": 2, "batch_size": 32, "hidden": 8, "projection": 8},
    "finetune": {"epochs": 2, "batch_size": 16},
    "runtime": {
        "device": "cpu",
        "precision": "fp32",
        "channels_last": False,
        "compile": False,
        "threads": 1,
    },
}


@pytest.fixture(scope="session")
def tiny_trial() -> Callable[..., TrialConfig]:
    """A trial on 60 digits that takes a moment, with what is given changed in its sections."""

    def build(**changes: Any) -> TrialConfig:
        raw = {name: tiny(name, changes.get(name, {})) for name in TINY}
        return TrialConfig.parse(changes | raw, "the test")

    return build


@pytest.fixture(scope="session")
def drive() -> Callable[..., tuple[list[Any], Any]]:
    """Pulls a generator to its end: what it yields, and what it returns."""

    def drive(events: Generator[Any, None, Any]) -> tuple[list[Any], Any]:
        pulled = []
        while True:
            try:
                pulled.append(next(events))
            except StopIteration as stop:
                return pulled, stop.value

    return drive


def tiny(name: str, change: dict[str, Any]) -> dict[str, Any]:
    """A section of the tiny trial, without what the plug-in that `change` names does not know."""
    plugin = PLUGINS.get(name, {}).get(change.get(SELECTORS.get(name, "")))
    known = TINY[name] if plugin is None else TINY[name].keys() & plugin.model_fields.keys()
    return {key: TINY[name][key] for key in known} | change


@pytest.fixture(scope="session", autouse=True)
def _no_reports() -> Iterator[None]:
    """Sweeps end without a report, which takes seconds: those who test it ask for one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("noisetune.sweep.reports.publish_report", lambda *_: None)
        yield


@pytest.fixture(scope="session")
def imagenet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file such as torchvision's ImageNet weights of a ResNet18, with weights drawn at random."""
    with seeded_initialisation("imagenet"):
        network = torchvision.models.resnet18(weights=None)
        for name, buffer in network.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 1.5)
    file = tmp_path_factory.mktemp("imagenet") / "resnet18.pth"
    torch.save(network.state_dict(), file)
    return file


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images and labels that the repository may not carry.

    It is $NOISETUNE_TEST_DATA, else shared/data beside the checkout; without it the test skips.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("NOISETUNE_TEST_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"real data: no folder {folder}; set NOISETUNE_TEST_DATA to one")
    return folder


@dataclass(frozen=True)
class Said:
    """What a command line printed, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def noisetune() -> Callable[..., Said]:
    """Runs a command line in this process: `noisetune("best", "quickstart", "--json")`."""

    def noisetune(*words: object) -> Said:
        out, err, code = io.StringIO(), io.StringIO(), 0
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", ["noisetune", *map(str, words)])
            patch.setattr(cli.app, "registered_commands", [])
            try:
                cli.main()
            except SystemExit as end:
                code = int(end.code or 0)
        return Said(code, out.getvalue(), err.getvalue())

    return noisetune


@pytest.fixture(scope="session")
def ray_at_hand() -> Iterator[None]:
    """The Ray that all tests share: two CPUs, and one GPU that need not exist."""
    # By way of our own module: it says first that everything listens on 127.0.0.1 alone.
    from noisetune.sweep.execution.launch import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, **quiet)
    yield
    ray.shutdown()


def pytest_collection_finish() -> None:
    """What is imported by now stays to the end: the collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def pytest_unconfigure() -> None:
    gc.unfreeze()


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder for temporary files whose path is short enough for the sockets in it."""
    with tempfile.TemporaryDirectory(prefix="", dir="/tmp") as folder:
        yield Path(folder)

import uuid

import pytest
import torch

from noisetune.store import Artifact, StageKey, Store


@pytest.fixture(params=["folder", "memory", "local"])
def store(request, tmp_path):
    """A folder, an object store in memory, and fsspec's view of a real folder."""
    urls = {
        "folder": tmp_path / "store",
        "memory": f"memory://{uuid.uuid4().hex}",
        "local": f"local://{tmp_path}/objects",
    }
    return Store.open(urls[request.param], git_sha="0a1b2c")


@pytest.fixture
def folder(tmp_path):
    """A store in a folder."""
    return Store.open(tmp_path / "store")


@pytest.fixture
def key():
    return StageKey("pretrain", 1, {"method": "simclr", "lr": 0.003})


@pytest.fixture
def publish():
    """Publish a small artifact whose tensor holds its step; returns the artifact."""

    def publish(store, key, step):
        artifact = Artifact({"w": torch.full((4,), float(step))}, {"step": step})
        with store.lease(key) as lease:
            store.publish(key, step, artifact, lease)
        return artifact

    return publish


@pytest.fixture
def files_of(folder):
    """Every file below a folder store's root, except its clock: relative path -> Path."""

    def files_of():
        found = (path for path in folder.backend.root.rglob("*") if path.is_file())
        return {
            str(path.relative_to(folder.backend.root)): path
            for path in found
            if path.name != ".clock"
        }

    return files_of

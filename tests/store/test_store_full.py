import errno
import os
import shutil
import subprocess

import pytest
import torch

from noisetune.store import Artifact, Store, StoreFull
from noisetune.store import folder as folders


def test_a_full_disk_is_said_in_words_and_leaves_nothing(folder, key, monkeypatch, files_of):
    def write_half(path, data):
        path.write_bytes(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with folder.lease(key) as lease:
        with monkeypatch.context() as patch:
            patch.setattr(folders, "write_durably", write_half)
            with pytest.raises(StoreFull) as caught:
                folder.publish(key, 1, Artifact({"w": torch.zeros(500_000)}), lease)
        assert lease.alive
        assert not [name for name in files_of() if ".tmp" in name or "step" in name]
        folder.publish(key, 1, Artifact(), lease)
    assert caught.value.errno == errno.ENOSPC
    for part in (folder.url, "2.0 MB are needed", "MB are free", "noisetune store gc"):
        assert part in str(caught.value)


def test_other_errors_of_the_disk_stay_what_they_are(folder, key, monkeypatch):
    def write_nothing(path, data):
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(folders, "write_durably", write_nothing)
    with folder.lease(key) as lease, pytest.raises(PermissionError):
        folder.publish(key, 1, Artifact(), lease)


@pytest.fixture
def tiny_disk(tmp_path):
    """A real file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a file system is not permitted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_really_full_keeps_what_it_had(tiny_disk, key):
    store = Store.open(tiny_disk)
    with store.lease(key) as lease:
        store.publish(key, 1, Artifact({"w": torch.ones(20_000)}), lease)
        with pytest.raises(StoreFull, match="is full"):
            store.publish(key, 2, Artifact({"w": torch.ones(60_000)}), lease)
        assert store.steps(key) == [1]
        assert store.verify().damaged == {}
        assert os.listdir(tiny_disk / ".tmp") == []
        store.publish(key, 2, Artifact({"w": torch.ones(10_000)}), lease)
    (tiny_disk / "ballast").write_bytes(bytes(shutil.disk_usage(tiny_disk).free))
    with pytest.raises(StoreFull):
        store.lease(key)
    assert len(store.gc(100_000).removed) == 1
    with store.lease(key) as lease:
        assert lease.alive

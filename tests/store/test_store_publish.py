import os

import pytest
import torch

from noisetune.errors import UserError
from noisetune.store import Artifact, NullStore, ReadOnly, StageKey, Store, backend

EXAMPLES = {
    "scalar": torch.tensor(1.5),
    "empty": torch.empty(0, 3),
    "half": torch.tensor([0.1, -7.0], dtype=torch.bfloat16),
    "count": torch.tensor([2**62, -1]),
    "mask": torch.tensor([True, False]),
    "bytes": torch.arange(6, dtype=torch.uint8).reshape(2, 3).T,
}


def test_an_artifact_comes_back_bit_for_bit(store, key):
    record = {"points": [{"step": 1, "loss": 0.1 + 0.2}], "none": None, "whole": 1.0}
    with store.lease(key) as lease:
        store.publish(key, 25, Artifact(EXAMPLES, record), lease)
    loaded = Store.open(store.url).load(key, 25)
    assert loaded.record == record
    assert list(loaded.tensors) == sorted(EXAMPLES)
    for name, tensor in EXAMPLES.items():
        assert loaded.tensors[name].dtype == tensor.dtype
        assert torch.equal(loaded.tensors[name], tensor)


def test_tensors_that_share_memory_are_stored_apart(store, key):
    weight = torch.arange(6.0)
    with store.lease(key) as lease:
        tensors = {"tied": weight, "again": weight, "part": weight[2:4]}
        store.publish(key, 1, Artifact(tensors), lease)
    loaded = store.load(key, 1).tensors
    assert torch.equal(loaded["tied"], loaded["again"])
    assert loaded["part"].tolist() == [2.0, 3.0]


def test_steps_ascend_and_latest_is_the_nearest_at_or_below(store, key, publish):
    for step in (100, 10, 25):
        publish(store, key, step)
    assert store.steps(key) == [10, 25, 100]
    assert [store.latest(key, at_most)[0] for at_most in (10, 24, 25, 99, 1000)] == [
        10,
        10,
        25,
        25,
        100,
    ]
    assert store.latest(key, 9) is None
    assert store.load(key, 11) is None


def test_keys_do_not_see_each_other(store, key, publish):
    other = StageKey("pretrain", 2, key.inputs)
    publish(store, key, 1)
    assert store.steps(other) == []
    assert store.load(other, 1) is None


def test_a_published_step_stays_as_it_is(store, key, publish):
    publish(store, key, 1)
    with store.lease(key) as lease:
        store.publish(key, 1, Artifact({}, {"step": "another"}), lease)
    assert store.load(key, 1).record == {"step": 1}


def test_a_dropped_step_is_gone_and_can_come_again(store, key, publish):
    publish(store, key, 1)
    publish(store, key, 2)
    store.drop(key, 1)
    store.drop(key, 1)
    assert store.steps(key) == [2]
    publish(store, key, 1)
    assert store.steps(key) == [1, 2]


def test_the_list_says_what_made_an_entry(store, key, publish):
    publish(store, key, 25)
    (info,) = store.list()
    assert (info.stage, info.digest, info.step, info.version) == ("pretrain", key.digest, 25, 1)
    assert info.inputs == key.inputs
    assert info.made_by == {"host": os.uname().nodename, "pid": os.getpid(), "git_sha": "0a1b2c"}
    assert 0 < info.made <= info.used + 1
    assert info.bytes > 0


def test_a_lease_on_one_key_publishes_no_other(store, key):
    other = StageKey("pretrain", 2, {})
    with store.lease(other) as lease, pytest.raises(ValueError, match="does not allow"):
        store.publish(key, 1, Artifact(), lease)
    assert store.steps(key) == []


def test_what_json_cannot_say_is_refused_and_leaves_nothing(store, key):
    with store.lease(key) as lease, pytest.raises(ValueError, match="JSON"):
        store.publish(key, 1, Artifact({}, {"loss": float("nan")}), lease)
    assert store.steps(key) == []
    with pytest.raises(ValueError, match="at least 0"):
        store.load(key, -1)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs the names of open files")
def test_the_manifest_is_written_last_synced_and_renamed_once(folder, key, monkeypatch):
    """The order that survives a power cut: files on disk, manifest, folder, rename, parents."""
    log, real_sync, real_rename = [], os.fsync, os.rename

    def synced(descriptor):
        log.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        real_sync(descriptor)

    def renamed(source, target):
        log.append(f"rename {os.path.basename(target)}")
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    with folder.lease(key) as lease:
        folder.publish(key, 7, Artifact(), lease)
    assert log[:3] == ["tensors.safetensors", "record.json", "manifest.json"]
    assert log[4:] == ["rename step-000007", key.digest, key.digest[:2], "pretrain", "store"]


def test_a_publish_cut_short_is_not_seen_and_leaves_nothing_aside(
    folder, key, monkeypatch, files_of
):
    def cut(source, target):
        raise KeyboardInterrupt

    with folder.lease(key) as lease:
        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", cut)
            with pytest.raises(KeyboardInterrupt):
                folder.publish(key, 1, Artifact(), lease)
        assert folder.steps(key) == []
        assert not [name for name in files_of() if ".tmp" in name or "step" in name]
        folder.publish(key, 1, Artifact(), lease)
    assert folder.steps(key) == [1]


@pytest.mark.parametrize("store", ["memory", "local"], indirect=True)
def test_files_without_a_manifest_are_no_entry_yet(store, key, monkeypatch):
    real, seen = store.backend.create, []

    def create(path, data):
        if path.endswith(backend.MANIFEST):
            seen.append((store.steps(key), store.load(key, 1), list(store.list())))
        return real(path, data)

    monkeypatch.setattr(store.backend, "create", create)
    with store.lease(key) as lease:
        store.publish(key, 1, Artifact(), lease)
    assert seen == [([], None, [])]
    assert store.steps(key) == [1]


def test_of_two_publishers_the_first_one_stays(folder, key, monkeypatch):
    """Both pass every check; the second meets the first one's folder at its rename."""
    real = folder.backend._put

    def put_after_another(aside, target):
        monkeypatch.setattr(folder.backend, "_put", real)
        folder.publish(key, 1, Artifact({}, {"who": "first"}), lease)
        real(aside, target)

    monkeypatch.setattr(folder.backend, "_put", put_after_another)
    with folder.lease(key) as lease:
        folder.publish(key, 1, Artifact({}, {"who": "second"}), lease)
    assert folder.load(key, 1).record == {"who": "first"}
    assert os.listdir(folder.backend.root / ".tmp") == []


def test_a_file_url_is_the_folder(folder, key, publish):
    publish(folder, key, 1)
    assert Store.open(f"file://{folder.url}").steps(key) == [1]


def test_what_cannot_be_a_store_is_refused_in_words(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError, match="cannot be used as a folder"):
        Store.open(tmp_path / "taken")
    with pytest.raises(UserError, match="cannot be opened"):
        Store.open("nosuchprotocol://bucket")


def test_the_null_store_grants_every_lease_and_keeps_nothing(key):
    store = NullStore()
    with store.lease(key) as lease, store.lease(key) as another:
        assert lease.alive
        assert another.alive
        store.publish(key, 1, Artifact(), lease)
    assert not lease.alive
    assert store.load(key, 1) is None
    assert store.latest(key, 9) is None
    assert store.holder(key) is None
    assert [*store.steps(key), *store.list()] == []
    assert store.verify().damaged == {}
    assert store.gc(0).removed == []


def test_a_mapped_entry_lies_over_its_file(folder, key, publish):
    """It stays whole when the entry is evicted, and what is written to it reaches no file."""
    made = publish(folder, key, 3)
    mapped = folder.mapped(key, 3)
    assert mapped.record == made.record
    assert mapped.tensors["w"].equal(made.tensors["w"])
    mapped.tensors["w"][0] = 7
    assert folder.load(key, 3).tensors["w"].equal(made.tensors["w"])
    folder.drop(key, 3)
    assert mapped.tensors["w"].tolist() == [7, 3, 3, 3]
    assert folder.mapped(key, 3) is None


def test_who_has_no_files_maps_nothing(store, key, publish):
    publish(store, key, 1)
    assert (store.mapped(key, 1) is None) == (store.backend.place("") is None)
    assert ReadOnly(store).mapped(key, 2) is None
    assert NullStore().mapped(key, 1) is None

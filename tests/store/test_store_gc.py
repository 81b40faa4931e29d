import multiprocessing
import os
import time

import pytest
import torch

from noisetune.store import Artifact, StageKey, Store

fork = multiprocessing.get_context("fork")
DAY = 86_400.0


def keys(count):
    return [StageKey("finetune", 1, {"seed": seed}) for seed in range(count)]


def manifest_of(key, step):
    return f"{key.stage}/{key.digest[:2]}/{key.digest}/step-{step:06d}/manifest.json"


def age(store, key, step, seconds):
    """As if the entry had last been used so long ago."""
    store.backend.touch(manifest_of(key, step), store.backend.now() - seconds)


def test_what_was_used_longest_ago_goes_first(store, publish):
    old, loaded, new = keys(3)
    for days, key in zip((3, 2, 1), (old, loaded, new), strict=True):
        publish(store, key, 1)
        age(store, key, 1, days * DAY)
    assert store.load(loaded, 1) is not None
    sizes = {info.digest: info.bytes for info in store.list()}
    total = sum(sizes.values())
    report = store.gc(total - 1)
    assert [info.digest for info in report.removed] == [old.digest]
    assert report.bytes_freed == sizes[old.digest]
    assert report.bytes_kept == total - sizes[old.digest]
    assert [info.digest for info in store.gc(sizes[loaded.digest]).removed] == [new.digest]
    assert store.steps(loaded) == [1]


def test_enough_room_removes_nothing(store, key, publish):
    publish(store, key, 1)
    assert store.gc(10**9).removed == []
    assert store.steps(key) == [1]


def test_what_a_live_lease_uses_stays(store, key, publish):
    publish(store, key, 1)
    with store.lease(key) as lease:
        report = store.gc(0)
        assert report.removed == []
        assert report.bytes_kept > 0
        assert lease.alive
        assert store.steps(key) == [1]
    assert len(store.gc(0).removed) == 1


def test_nothing_of_an_evicted_key_remains_and_it_can_be_made_again(store, key, publish):
    publish(store, key, 1)
    store.gc(0)
    assert store.backend.names(f"pretrain/{key.digest[:2]}") == []
    publish(store, key, 1)
    assert store.steps(key) == [1]


def test_a_dead_writers_folder_goes_and_a_live_writers_stays(folder):
    temporary = folder.backend.root / ".tmp"
    for name, seconds in (("dead", 7200), ("alive", 60)):
        (temporary / name).mkdir()
        (temporary / name / "record.json").write_bytes(b"{}")
        os.utime(temporary / name, (time.time() - seconds,) * 2)
    report = folder.gc(10**9)
    assert (report.leftovers, report.bytes_freed) == (1, 2)
    assert os.listdir(temporary) == ["alive"]


def test_unfinished_and_damaged_entries_go(store, key, publish):
    for step in (1, 2, 3):
        publish(store, key, step)
    store.backend.remove(manifest_of(key, 1))
    store.backend.remove(manifest_of(key, 2).replace("manifest", "record"))
    assert store.load(key, 2) is None
    with store.lease(key):
        assert store.gc(10**9).leftovers == 1
    assert store.gc(10**9).leftovers == 1
    assert store.backend.names(".damaged") == []
    assert store.steps(key) == [3]


@pytest.mark.parametrize("store", ["memory", "local"], indirect=True)
def test_among_objects_the_manifest_goes_first(store, key, publish, monkeypatch):
    publish(store, key, 1)
    remove, seen = store.backend.fs.rm, []

    def remove_and_look(path, recursive):
        remove(path, recursive=recursive)
        seen.append((path.rsplit("/", 1)[1], store.steps(key)))

    monkeypatch.setattr(store.backend.fs, "rm", remove_and_look)
    store.drop(key, 1)
    assert seen[:2] == [("manifest.json", []), ("step-000001", [])]


def read_on(url, key, seen):
    store = Store.open(url)
    while True:
        found = store.load(key, 1)
        assert found is None or torch.equal(found.tensors["w"], torch.arange(1000.0))
        seen[found is None] += 1


def test_readers_racing_an_eviction_get_the_entry_or_nothing(folder, key):
    """Neither an exception nor a false alarm about damage."""
    artifact = Artifact({"w": torch.arange(1000.0)}, {"loss": 0.5})
    seen = [fork.RawArray("i", 2) for _ in range(3)]
    readers = [fork.Process(target=read_on, args=(folder.url, key, mine)) for mine in seen]
    for reader in readers:
        reader.start()
    end = time.monotonic() + 20
    while min(min(mine) for mine in seen) < 20 and time.monotonic() < end:
        with folder.lease(key) as lease:
            folder.publish(key, 1, artifact, lease)
        folder.gc(0)
    assert all(reader.is_alive() for reader in readers)
    for reader in readers:
        reader.kill()
        reader.join()
    assert min(min(mine) for mine in seen) >= 20
    assert folder.backend.names(".damaged") == []

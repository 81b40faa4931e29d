import json
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisetune.store import Artifact, StageKey, Store

TENSORS, RECORD, MANIFEST = "tensors.safetensors", "record.json", "manifest.json"


def step_folder(key, step):
    return f"{key.stage}/{key.digest[:2]}/{key.digest}/step-{step:06d}"


def overwrite(store, path, data):
    """Change stored bytes behind the store's back."""
    store.backend.remove(path)
    store.backend.create(path, data)


def truncate(store, entry):
    data = store.backend.read(f"{entry}/{TENSORS}")
    overwrite(store, f"{entry}/{TENSORS}", data[:-1])


def lose(store, entry):
    store.backend.remove(f"{entry}/{RECORD}")


def flip(store, entry):
    data = bytearray(store.backend.read(f"{entry}/{TENSORS}"))
    data[-1] ^= 1
    overwrite(store, f"{entry}/{TENSORS}", bytes(data))


def garble(store, entry):
    overwrite(store, f"{entry}/{MANIFEST}", b"\x80 not a manifest")


def unseal(store, entry):
    manifest = json.loads(store.backend.read(f"{entry}/{MANIFEST}"))
    manifest["made_by"]["host"] = "elsewhere"
    overwrite(store, f"{entry}/{MANIFEST}", json.dumps(manifest).encode())


HARMS = pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (truncate, "bytes, published were"),
        (flip, "tensors.safetensors has another SHA-256"),
        (lose, "record.json is missing"),
        (garble, "its own seal"),
        (unseal, "its own seal"),
    ],
)


@HARMS
def test_a_damaged_entry_is_set_aside_with_the_reason_and_made_again(
    store, key, publish, harm, reason
):
    publish(store, key, 1)
    harm(store, step_folder(key, 1))
    assert store.load(key, 1) is None
    assert store.steps(key) == []
    (aside,) = store.backend.names(".damaged")
    assert reason in json.loads(store.backend.read(f".damaged/{aside}/reason.json"))["reason"]
    again = publish(store, key, 1)
    assert torch.equal(store.load(key, 1).tensors["w"], again.tensors["w"])


@HARMS
def test_verify_finds_and_sets_aside_what_load_would(store, key, publish, harm, reason):
    for step in (1, 2, 3):
        publish(store, key, step)
    harm(store, step_folder(key, 2))
    report = store.verify()
    assert report.checked == 3
    assert list(report.damaged) == [step_folder(key, 2)]
    assert reason in report.damaged[step_folder(key, 2)]
    assert store.steps(key) == [1, 3]
    assert store.verify().damaged == {}


def test_latest_falls_back_to_the_entry_below_a_damaged_one(store, key, publish):
    for step in (10, 25):
        publish(store, key, step)
    flip(store, step_folder(key, 25))
    assert store.latest(key, 50)[0] == 10


def test_an_entry_in_another_entrys_place_is_refused(folder, key, publish):
    publish(folder, key, 1)
    root = folder.backend.root
    shutil.copytree(root / step_folder(key, 1), root / step_folder(key, 2))
    assert folder.load(key, 2) is None
    assert folder.load(key, 1).record == {"step": 1}


def test_a_lost_manifest_makes_the_entry_absent_and_publish_works(store, key, publish):
    publish(store, key, 1)
    store.backend.remove(f"{step_folder(key, 1)}/{MANIFEST}")
    assert store.load(key, 1) is None
    publish(store, key, 1)
    assert store.load(key, 1).record == {"step": 1}


def test_verify_sets_aside_what_nobody_is_writing_any_more(store, key, publish):
    publish(store, key, 1)
    store.backend.remove(f"{step_folder(key, 1)}/{MANIFEST}")
    with store.lease(key):
        assert store.verify().damaged == {}
    assert store.verify().damaged == {step_folder(key, 1): "manifest.json is missing"}


def test_what_vanished_while_it_was_read_is_absent_and_not_damaged(
    store, key, publish, monkeypatch
):
    """A reader holds the manifest when a gc removes the entry."""
    publish(store, key, 1)
    read = store.backend.read

    def read_late(path):
        if path.endswith(TENSORS):
            store.drop(key, 1)
        return read(path)

    monkeypatch.setattr(store.backend, "read", read_late)
    assert store.load(key, 1) is None
    assert store.backend.names(".damaged") == []


def test_what_was_made_anew_while_it_was_read_is_not_set_aside(store, key, publish, monkeypatch):
    publish(store, key, 1)
    read = store.backend.read

    def read_between(path):
        if not path.endswith(TENSORS):
            return read(path)
        monkeypatch.undo()
        store.drop(key, 1)
        publish(store, key, 1)
        raise FileNotFoundError

    monkeypatch.setattr(store.backend, "read", read_between)
    assert store.load(key, 1) is None
    assert store.load(key, 1).record == {"step": 1}


@pytest.fixture(scope="module")
def published():
    """The files of one entry, to be flipped one bit at a time."""
    key = StageKey("detect", 1, {"rate": 0.4})
    artifact = Artifact({"w": torch.linspace(0, 1, 5)}, {"f1": 0.25})
    with tempfile.TemporaryDirectory() as root:
        store = Store.open(root, git_sha="0a1b2c")
        with store.lease(key) as lease:
            store.publish(key, 3, artifact, lease)
        entry = Path(root) / step_folder(key, 3)
        yield store, key, artifact, {path: path.read_bytes() for path in entry.iterdir()}


@given(data=st.data())
def test_no_flipped_bit_is_ever_taken_for_the_result(published, data):
    store, key, artifact, files = published
    victim = data.draw(st.sampled_from(sorted(files)))
    at = data.draw(st.integers(0, 8 * len(files[victim]) - 1))
    shutil.rmtree(victim.parent, ignore_errors=True)
    victim.parent.mkdir(parents=True)
    for path, content in files.items():
        flipped = bytearray(content)
        if path == victim:
            flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
    loaded = store.load(key, 3)
    assert loaded is None or (
        loaded.record == artifact.record and torch.equal(loaded.tensors["w"], artifact.tensors["w"])
    )


@HARMS
def test_a_damaged_entry_is_mapped_to_nobody(folder, key, publish, harm, reason):
    """It stands aside, as one that is read does."""
    publish(folder, key, 1)
    harm(folder, step_folder(key, 1))
    assert folder.mapped(key, 1) is None
    (aside,) = folder.backend.names(".damaged")
    assert reason in folder.backend.read(f".damaged/{aside}/reason.json").decode()

"""The file of a trial's predictions: what is written comes back, and nothing else is read."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.errors import UserError
from noisetune.predictions import Predictions, PredictionsFolder, pack

CHOICES = ("last", "noisy_best", "oracle")


def made(
    images: int = 20, classes: int = 10, seed: int = 0, held: int | None = None
) -> Predictions:
    """Of `images` test images; with `held`, of so many labels of the training set."""
    rng = np.random.default_rng(seed)
    count = images if held is None else held
    rows = None if held is None else np.sort(rng.permutation(1000)[:held])
    return Predictions(
        predicted={choice: rng.integers(classes, size=images) for choice in CHOICES},
        probability={choice: rng.random(images).astype(np.float16) for choice in CHOICES},
        true=rng.integers(classes, size=images),
        given=rng.integers(classes, size=count),
        scores={"confident_learning": rng.random(count).astype(np.float32)},
        rows=rows,
        rows_true=None if rows is None else rng.integers(classes, size=count),
    )


def assert_same(one: Predictions | None, other: Predictions) -> None:
    assert one is not None
    for choice in CHOICES:
        assert np.array_equal(one.predicted[choice], other.predicted[choice])
        assert one.probability[choice].tobytes() == other.probability[choice].tobytes()
        assert np.array_equal(one.correct(choice), other.correct(choice))
    assert one.scores.keys() == other.scores.keys()
    for label, scores in other.scores.items():
        assert one.scores[label].tobytes() == scores.tobytes()
    for name in ("true", "given", "rows", "rows_true", "given_true"):
        ours, theirs = getattr(one, name), getattr(other, name)
        assert (ours is None and theirs is None) or np.array_equal(ours, theirs)


@given(
    images=st.integers(0, 40),
    classes=st.integers(2, 1000),
    seed=st.integers(0, 99),
    held=st.none() | st.integers(0, 30),
    trial=st.text(max_size=300),
)
def test_what_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    images: int,
    classes: int,
    seed: int,
    held: int | None,
    trial: str,
) -> None:
    folder = PredictionsFolder(tmp_path_factory.mktemp("kept") / "predictions")
    written = made(images, classes, seed, held)
    folder.write(trial, pack(written))
    assert_same(folder.read(trial), written)
    (file,) = folder.path.iterdir()
    assert file == folder.file(trial)


@pytest.mark.parametrize(("classes", "dtype"), [(256, np.uint8), (257, np.uint16)])
def test_classes_take_the_smallest_type(tmp_path: Path, classes: int, dtype: type) -> None:
    folder = PredictionsFolder(tmp_path)
    folder.write("t", pack(replace(made(), true=np.arange(20) + classes - 20)))
    read = folder.read("t")
    assert read is not None
    assert read.true.dtype == dtype
    assert read.probability["last"].dtype == np.float16


def test_a_trial_that_runs_again_overwrites_its_own_alone(tmp_path: Path) -> None:
    folder = PredictionsFolder(tmp_path)
    first, second, other = (made(seed=seed) for seed in range(3))
    for trial, written in (("A x", first), ("a x", other), ("A x", second)):
        folder.write(trial, pack(written))
    found = folder.of(["A x", "a x", "nobody"])
    assert found.keys() == {"A x", "a x"}
    assert_same(found["A x"], second)
    assert_same(found["a x"], other)


def test_where_none_were_written_there_are_none(tmp_path: Path) -> None:
    assert PredictionsFolder(tmp_path / "nowhere").read("t") is None
    assert PredictionsFolder(tmp_path / "nowhere").of(["t"]) == {}


@given(cut=st.integers(0, 400), seed=st.integers(0, 99))
def test_a_damaged_file_is_one_message(
    tmp_path_factory: pytest.TempPathFactory, cut: int, seed: int
) -> None:
    folder = PredictionsFolder(tmp_path_factory.mktemp("kept"))
    content = pack(made(seed=seed))
    folder.write("t", content[: len(content) - 1 - cut])
    with pytest.raises(UserError, match=r"t-.*\.npz: is damaged .*delete it"):
        folder.read("t")


def test_nothing_is_unpickled_and_nothing_may_be_missing(tmp_path: Path) -> None:
    folder = PredictionsFolder(tmp_path)
    arrays = {"true": np.arange(3), "given": np.array([{}, 1, 2], dtype=object)}
    np.savez(folder.file("objects"), **arrays)
    np.savez(folder.file("less"), true=np.arange(3))
    np.savez(
        folder.file("uneven"),
        **{"true": np.arange(3), "given": np.arange(3), "predicted.last": np.arange(2)},
    )
    folder.file("empty").write_bytes(b"")
    with zipfile.ZipFile(folder.file("text"), "w") as archive:
        archive.writestr("true.npy", "no array")
    for trial in ("objects", "less", "uneven", "empty", "text"):
        with pytest.raises(UserError, match="is damaged"):
            folder.read(trial)


def test_a_disk_that_refuses_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, before = PredictionsFolder(tmp_path), made()
    folder.write("t", pack(before))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("noisetune.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        folder.write("t", pack(made(seed=1)))
    assert [file.suffix for file in tmp_path.iterdir()] == [".npz"]
    assert_same(folder.read("t"), before)

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from noisetune.data.npz import Config
from noisetune.errors import UserError

Write = Callable[..., Path]
RNG = np.random.default_rng(0)
GOOD = {
    "x_train": RNG.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8),
    "y_train": np.array([0, 1, 2, 0, 1, 2]),
    "x_test": RNG.integers(0, 256, (3, 5, 4, 3), dtype=np.uint8),
    "y_test": np.array([2, 1, 0]),
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """An archive of the good arrays with what is given changed, or left out where None."""

    def write(**changes: Any) -> Path:
        arrays = {name: value for name, value in (GOOD | changes).items() if value is not None}
        path = tmp_path / "mine.npz"
        np.savez_compressed(path, **arrays)
        return path

    return write


def test_colour_images_and_labels_are_read_as_they_are(write: Write) -> None:
    data = Config(path=write()).load()
    assert np.array_equal(data.x_train.permute(0, 2, 3, 1), GOOD["x_train"])
    assert np.array_equal(data.x_test.permute(0, 2, 3, 1), GOOD["x_test"])
    assert data.y_train.tolist() == GOOD["y_train"].tolist()
    assert data.y_test.tolist() == GOOD["y_test"].tolist()
    assert data.class_names == ("0", "1", "2")


def test_grey_images_may_leave_their_channel_out(write: Write) -> None:
    path = write(x_train=GOOD["x_train"][..., 0], x_test=GOOD["x_test"][..., 0])
    data = Config(path=path).load()
    assert data.x_train.shape == (6, 1, 5, 4)
    assert np.array_equal(data.x_train[:, 0], GOOD["x_train"][..., 0])
    assert len(data.mean) == len(data.std) == 1


def test_classes_may_be_more_than_the_labels_show(write: Write) -> None:
    assert Config(path=write(), classes=1000).load().classes == 1000


def test_a_single_class_is_refused_unless_there_are_more_on_purpose(write: Write) -> None:
    path = write(y_train=np.zeros(6, int), y_test=np.zeros(3, int))
    with pytest.raises(UserError, match=r"y_train: no image has the label 1; .* set data.classes"):
        Config(path=path).load()
    assert Config(path=path, classes=2).load().classes == 2


@pytest.mark.parametrize(
    ("labels", "missing"),
    [([1, 2, 3, 1, 2, 3], "0"), ([0, 1, 3, 0, 1, 3], "2"), ([5, 4, 5, 4, 5, 4], "0, 1, 2, 3")],
)
@pytest.mark.parametrize("kept", [None, 2])
def test_labels_that_begin_later_or_have_gaps_are_refused(
    write: Write, labels: list[int], missing: str, kept: int | None
) -> None:
    path = write(y_train=np.array(labels), y_test=np.array(labels[:3]))
    with pytest.raises(UserError, match=f"no image has the label {missing}; labels go from 0"):
        Config(path=path, train_samples=kept).load()


def test_classes_that_no_image_has_are_said(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    labels = np.array([1, 2, 3, 1, 2, 3])
    data = Config(path=write(y_train=labels, y_test=labels[:3]), classes=5).load()
    assert data.y_train.tolist() == labels.tolist()
    assert "2 of 5 classes have no training image (0, 4)" in caplog.text


def test_classes_do_not_change_when_fewer_images_are_used(write: Write) -> None:
    assert Config(path=write(), train_samples=2, test_samples=1).load().classes == 3


@pytest.mark.parametrize("flip", [True, False])
def test_flips_can_be_left_out(write: Write, flip: bool) -> None:
    data = Config(path=write(), flip=flip).load()
    assert (data.ssl_augment.flip > 0, data.finetune_augment.flip > 0) == (flip, flip)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"x_test": None, "y_test": None}, "has no x_test, y_test; it must hold x_train, "),
        ({"y_train": np.array([0, "a"] * 3, object)}, "is no readable .npz archive of plain arra"),
        ({"x_train": GOOD["x_train"] / 255}, "x_train: images are float64, they must be uint8"),
        ({"x_train": GOOD["x_train"][0]}, r"x_train has images of shape \(1, 4, 3\), x_test of"),
        ({"x_train": GOOD["x_train"][..., :2]}, r"x_train: shape \(6, 5, 4, 2\) is no stack"),
        ({"x_train": GOOD["x_train"][:0]}, r"x_train: shape \(0, 5, 4, 3\) is no stack"),
        ({"x_train": np.uint8(3)}, r"x_train: shape \(1,\) is no stack of images"),
        (
            {"x_test": GOOD["x_test"][:, :4]},
            r"x_train has images of shape \(3, 5, 4\), x_test of \(3, 4, 4\)",
        ),
        ({"x_test": GOOD["x_test"][..., 0]}, r"shape \(3, 5, 4\), x_test of \(1, 5, 4\)"),
        ({"y_train": GOOD["y_train"].astype(float)}, "y_train: float64 of shape .* integer label"),
        ({"y_train": GOOD["y_train"][:4]}, r"y_train: int64 of shape \(4,\); .* the 6 images"),
        ({"y_test": np.eye(3, dtype=int)}, r"y_test: int64 of shape \(3, 3\); it must be one"),
        ({"y_test": np.int64(1)}, r"y_test: int64 of shape \(1,\); .* the 3 images"),
        ({"y_train": GOOD["y_train"] - 1}, "y_train: labels span -1..1; they must be 0 or more"),
        ({"y_test": GOOD["y_test"] + 1}, "y_test: labels span 1..3; they must be 0..2"),
        (
            {"y_train": np.array([0, 1, 2, 0, 1, 2**32 - 1], np.uint32)},
            "y_train: the largest label is 4294967295, .* set data.classes",
        ),
    ],
)
def test_a_bad_array_is_a_user_error(write: Write, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=rf"mine\.npz: .*{problem}"):
        Config(path=write(**changes)).load()


def test_labels_beyond_the_given_classes_are_a_user_error(write: Write) -> None:
    with pytest.raises(UserError, match=r"y_train: labels span 0..2; they must be 0..1"):
        Config(path=write(), classes=2).load()


@pytest.mark.parametrize("place", ["no such file", "folder"])
def test_a_missing_file_is_a_user_error(tmp_path: Path, place: str) -> None:
    path = tmp_path if place == "folder" else tmp_path / "none.npz"
    with pytest.raises(UserError, match=rf"data.path: {path} does not exist or is no file"):
        Config(path=path).load()


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04", b"\x80\x04N."])
def test_another_file_is_a_user_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"mine.npz: is no readable .npz archive of plain arrays"):
        Config(path=path).load()


def test_a_single_array_and_a_plain_zip_are_user_errors(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", GOOD["x_train"])
    with pytest.raises(UserError, match=r"one.npy: is no readable .npz archive"):
        Config(path=tmp_path / "one.npy").load()
    with zipfile.ZipFile(tmp_path / "plain.zip", "w") as archive:
        for name in GOOD:
            archive.writestr(name, b"hello")
    with pytest.raises(UserError, match=r"plain.zip: has no x_train, y_train, x_test"):
        Config(path=tmp_path / "plain.zip").load()


def test_a_damaged_byte_is_a_user_error_or_changes_nothing(write: Write) -> None:
    path = write()
    expected, content = Config(path=path).load(), path.read_bytes()
    for place in range(0, len(content), 5):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            data = Config(path=path).load()
        except UserError:
            continue
        assert torch.equal(data.x_train, expected.x_train)
        assert torch.equal(data.y_test, expected.y_test)


def test_the_path_is_required() -> None:
    with pytest.raises(ValidationError, match="path\n  Field required"):
        Config()


def test_of_a_large_archive_a_few_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {"x_train": np.zeros((10**5, 8, 8), np.uint8), "y_train": np.arange(10**5) % 2}
    few = {"x_test": many["x_train"][:2], "y_test": many["y_train"][:2]}
    np.savez_compressed(tmp_path / "large.npz", **many, **few)
    monkeypatch.setenv("NOISETUNE_MEMORY", "2M")
    config = Config(path=tmp_path / "large.npz", train_samples=100, overlap="allow")
    assert len(config.load().x_train) == 100
    whole = r"large.npz: its images and labels .* would take 0.0144 GB of memory, and 0.002 GB"
    with pytest.raises(UserError, match=whole):
        Config(path=tmp_path / "large.npz").load()


def test_a_shape_that_the_file_has_not_is_a_user_error(write: Write) -> None:
    path = write()
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    lie = entries["x_train.npy"].replace(b"(6, 5, 4, 3)", b"(6, 5, 4, 9)")
    assert lie != entries["x_train.npy"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (entries | {"x_train.npy": lie}).items():
            archive.writestr(name, content)
    with pytest.raises(UserError, match=r"mine.npz: is no readable .*its header says uint8 of sha"):
        Config(path=path).load()

"""Images in the training and in the test part."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import number_of, paint, paint_folders, pixels

from noisetune.data import digits, npz
from noisetune.data._overlap import OwnImages
from noisetune.data.base import DataConfig, ImageData, content_hash
from noisetune.data.folder import Config
from noisetune.errors import UserError

Load = Callable[..., ImageData]


@pytest.fixture(params=["folders", "lists", "npz"])
def load(request: pytest.FixtureRequest, tmp_path: Path) -> Load:
    """Training images 0 to 7 of two classes, test images 8, 9, and copies of 2 and 5."""
    train, test = range(8), [8, 9, 2, 5]
    if request.param == "npz":
        arrays = {"x_train": train, "x_test": test}
        images = {name: np.stack([pixels(each) for each in part]) for name, part in arrays.items()}
        labels = {"y_train": np.arange(8) % 2, "y_test": np.array(test) % 2}
        np.savez(tmp_path / "mine.npz", **images, **labels)
        return lambda **changes: npz.Config(path=tmp_path / "mine.npz", **changes).load()
    for part, numbers in (("train", train), ("test", test)):
        lines = []
        for row, number in enumerate(numbers):
            file = paint(tmp_path / part / str(number % 2) / f"{row}-{number}.png", number)
            lines.append(f"{file.relative_to(tmp_path)} {number % 2}")
        (tmp_path / f"{part}.txt").write_text("\n".join(lines))
    lists = {"train_list": "train.txt", "test_list": "test.txt"}
    usual = {"root": tmp_path, "size": 8, "cache": tmp_path / "cache"}
    usual |= lists if request.param == "lists" else {}
    return lambda **changes: Config(**usual, **changes).load()


def test_copies_are_refused_counted_and_named(load: Load) -> None:
    with pytest.raises(UserError, match="is a training image too") as caught:
        load()
    lines = str(caught.value).split("\n")
    assert len(lines) == 3
    assert "data: 2 of 4 test images are training images too" in lines[2]
    assert all(word in lines[2] for word in ("data.overlap", "drop_from_train", "allow"))
    assert any(name in lines[0] for name in ("test/0/2-2.png is", "x_test[2] is"))
    assert any(name in lines[0] for name in ("train/0/2-2.png)", "x_train[2])"))


def test_training_may_go_without_them(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    data = load(overlap="drop_from_train")
    numbers = [number_of(image) for image in data.x_train.numpy()]
    labels = {number: number % 2 for number in (0, 1, 3, 4, 6, 7)}
    assert dict(zip(numbers, data.y_train.tolist(), strict=True)) == labels
    assert len(data.x_test) == 4
    assert data.train_images_hash == content_hash(data.x_train)
    assert "drop_from_train: 2 of 4 test images are training images too" in caplog.text


def test_they_may_be_allowed(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    data = load(overlap="allow")
    assert (len(data.x_train), len(data.x_test)) == (8, 4)
    assert "allow: 2 of 4 test images are training images too" in caplog.text


def test_the_setting_is_in_the_key_by_what_it_does(load: Load) -> None:
    dropped, allowed = (load(overlap=policy) for policy in ("drop_from_train", "allow"))
    assert dropped.fingerprint != allowed.fingerprint
    assert dropped.train_images_hash != allowed.train_images_hash
    assert load(overlap="allow").fingerprint == allowed.fingerprint


def test_what_is_left_out_of_both_parts_overlaps_with_nothing(load: Load) -> None:
    alone = [load(test_samples=2, overlap=policy) for policy in ("refuse", "drop_from_train")]
    assert alone[0].fingerprint == alone[1].fingerprint
    assert len(alone[0].x_train) == 8


@pytest.mark.parametrize("how", ["link", "folder", "hard link", "test is train"])
def test_links_do_not_hide_an_image(tmp_path: Path, how: str) -> None:
    root = tmp_path / "mine"
    paint_folders(root, {"a": range(2), "b": range(2, 4)}, {"a": range(4, 5), "b": range(5, 6)})
    match how:
        case "link":
            (root / "test" / "a" / "x.png").symlink_to(root / "train" / "a" / "0.png")
        case "hard link":
            (root / "test" / "a" / "x.png").hardlink_to(root / "train" / "a" / "0.png")
        case "folder":
            (root / "test" / "a" / "more").symlink_to(root / "train" / "a")
        case _:
            shutil.rmtree(root / "test")
            (root / "test").symlink_to("train")
    with pytest.raises(UserError, match=r"[x0].png is a training image too \(.*train/a/0.png\)"):
        Config(root=root, size=8, cache=tmp_path / "cache").load()


def test_a_class_that_would_lose_its_last_image_is_refused(tmp_path: Path) -> None:
    paint_folders(tmp_path, {"a": range(3), "b": range(3, 4)}, {"b": range(3, 4)})
    config = Config(root=tmp_path, size=8, cache=tmp_path / "cache", overlap="drop_from_train")
    with pytest.raises(UserError, match="drop_from_train leaves 1 classes without a training imag"):
        config.load()


def test_dropped_images_are_not_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint_folders(tmp_path, {"a": range(3), "b": range(3, 6)}, {"a": range(1), "b": range(6, 7)})
    settings = {"root": tmp_path, "size": 8, "cache": tmp_path / "cache"}
    Config(**settings, overlap="allow").load()
    monkeypatch.setattr("noisetune.data._decoding.decode", lambda *_: pytest.fail("decoded again"))
    data = Config(**settings, overlap="drop_from_train").load()
    assert sorted(map(number_of, data.x_train.numpy())) == [1, 2, 3, 4, 5]


@given(train=st.lists(st.integers(0, 9), max_size=20), test=st.lists(st.integers(0, 9)))
def test_what_is_kept_is_what_no_test_image_is(train: list[int], test: list[int]) -> None:
    config = OwnImages(name="any", overlap="drop_from_train")
    labels = np.zeros(len(train), np.int64)
    try:
        kept = config.rows_kept(train, test, labels, lambda part, row: f"{part}{row}")
    except UserError:
        assert set() < set(train) <= set(test)
        return
    rows = range(len(train)) if kept is None else kept.tolist()
    assert list(rows) == [row for row, each in enumerate(train) if each not in test]


def test_a_published_set_stays_as_it_is_and_says_its_count(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    x_train, y_train, x_test, y_test = digits._arrays()
    digits.Config().load()
    assert caplog.text == ""
    copies = np.concatenate([x_train[:3], x_test[3:]])
    monkeypatch.setattr(digits, "_arrays", lambda: (x_train, y_train, copies, y_test))
    data = digits.Config().load()
    assert (len(data.x_train), len(data.x_test)) == (1437, 360)
    assert "digits: 3 of 360 test images are training images too" in caplog.text


def test_other_data_sets_have_no_such_setting() -> None:
    assert "overlap" not in DataConfig.model_fields

"""What a class folder is taken to hold."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import number_of, paint, paint_folders

from noisetune.data._folders import read_folders
from noisetune.data.base import ImageData
from noisetune.data.folder import Config
from noisetune.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of three training images and a test image."""
    root = tmp_path / "mine"
    paint_folders(
        root, {"cat": range(3), "dog": range(3, 6)}, {"cat": range(6, 7), "dog": range(7, 8)}
    )
    return root


def load(root: Path, **changes: Any) -> ImageData:
    return Config(**{"root": root, "size": 8, "cache": root.parent / "cache"} | changes).load()


def numbers(data: ImageData) -> dict[str, list[int]]:
    """The numbers of the training images of each class."""
    found: dict[str, list[int]] = {name: [] for name in data.class_names}
    for image, label in zip(data.x_train.numpy(), data.y_train, strict=True):
        found[data.class_names[label]].append(number_of(image))
    return {name: sorted(each) for name, each in found.items()}


USUAL = {"cat": [0, 1, 2], "dog": [3, 4, 5]}


@pytest.mark.parametrize(
    "place",
    [
        "cat/.ipynb_checkpoints/0-checkpoint.png", "dog/deep/.thumbnails/9.png", ".trash/9.png",
        "__MACOSX/._x.png", "__MACOSX/cat/9.png", "cat/__MACOSX/9.png", "cat/@eaDir/9.png",
        "cat/._0.png", "$RECYCLE.BIN/9.png",
    ],
)  # fmt: skip
def test_what_is_hidden_or_left_behind_is_neither_image_nor_class(root: Path, place: str) -> None:
    paint(root / "train" / place, 99)
    assert numbers(load(root)) == USUAL


def test_links_to_images_and_to_folders_are_followed(root: Path, tmp_path: Path) -> None:
    paint(tmp_path / "else" / "deep" / "20.png", 20)
    paint(tmp_path / "21.png", 21)
    (root / "train" / "dog" / "more").symlink_to(tmp_path / "else")
    (root / "train" / "cat" / "x.png").symlink_to("../../../21.png")
    assert numbers(load(root)) == {"cat": [0, 1, 2, 21], "dog": [3, 4, 5, 20]}


def test_a_class_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (root / "train" / "cat").rename(tmp_path / "elsewhere")
    (root / "train" / "cat").symlink_to(tmp_path / "elsewhere")
    assert numbers(load(root)) == USUAL


@pytest.mark.parametrize("target", [".", "..", "../..", "../../..", "/", "deep", "loop", "gone"])
def test_a_loop_of_links_ends(root: Path, target: str) -> None:
    paint(root / "train" / "cat" / "deep" / "30.png", 30)
    (root / "train" / "cat" / "loop").symlink_to(target)
    (root / "train" / "cat" / "deep" / "loop").symlink_to("..")
    assert numbers(load(root)) == {"cat": [0, 1, 2, 30], "dog": [3, 4, 5]}


def test_a_loop_by_way_of_another_folder_ends(root: Path, tmp_path: Path) -> None:
    paint(tmp_path / "else" / "20.png", 20)
    (tmp_path / "else" / "back").symlink_to(root / "train")
    (tmp_path / "else" / "again").symlink_to(tmp_path / "else")
    (root / "train" / "dog" / "more").symlink_to(tmp_path / "else")
    (root / "train" / "dog" / "twice").symlink_to(tmp_path / "else")
    assert numbers(load(root)) == {"cat": [0, 1, 2], "dog": [3, 4, 5, 20]}


@pytest.mark.parametrize("link", ["dog/cats", "kitten", "cat/dogs"])
def test_a_folder_has_one_class(root: Path, link: str) -> None:
    (root / "train" / link).symlink_to(root / "train" / ("dog" if link == "cat/dogs" else "cat"))
    with pytest.raises(UserError, match=r"are one folder: its images would have two classes"):
        load(root)


def test_files_that_are_left_out_are_counted_and_named(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("cat/4", "dog/5.heic", "loose.png", "cat/.hidden", "cat/Thumbs.db"):
        (root / "train" / name).write_bytes(b"")
    (root / "test" / "cat" / "6.heic").write_bytes(b"")
    assert numbers(load(root)) == USUAL
    train, test = (record.getMessage() for record in caplog.records)
    assert train.startswith("data.train: files left out, whose names are no image's: 3 (")
    assert all(name in train for name in ("cat/4", "dog/5.heic", "loose.png"))
    assert test.startswith("data.test: files left out, whose names are no image's: 1 (")


@pytest.mark.parametrize("content", [[], ["1.heic", "2"], [".ipynb_checkpoints/1.png"]])
def test_a_class_without_an_image_is_refused(root: Path, content: list[str]) -> None:
    (root / "train" / "cow").mkdir()
    for name in content:
        file = root / "train" / "cow" / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"")
    left_out = r" \(files left out there: 2, train/cow/1.heic, train/cow/2\)"
    why = left_out if len(content) == 2 else ""
    with pytest.raises(UserError, match=rf"data: the class 'cow' has no training image{why}\n"):
        load(root)
    assert numbers(load(root, classes=("cat", "dog"))) == USUAL


def test_a_mistyped_class_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match=r"the class 'bird' has no training image\n.*data.classes"):
        load(root, classes=("cat", "dog", "bird"))


@pytest.mark.parametrize("deep", ["", "deep"])
def test_a_folder_that_may_not_be_read_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, deep: str
) -> None:
    closed = root / "train" / "cow" / deep
    closed.mkdir(parents=True)
    paint(root / "train" / "cow" / "1.png", 50)
    whole = os.scandir

    def scandir(folder: Any) -> Any:
        if Path(folder) == closed:
            raise PermissionError(13, "Permission denied", str(folder))
        return whole(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match=rf"data.train: the folder {closed} cannot be read \(Perm"):
        load(root)


def test_classes_that_are_numbers_sort_as_numbers(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    paint_folders(
        root,
        {str(label): range(label, label + 1) for label in range(12)},
        {"02": range(20, 21), "10": range(21, 22)},
    )
    data = load(root)
    assert data.class_names == tuple(map(str, range(12)))
    assert data.y_test.tolist() == [2, 10]
    named = load(root, classes=[f"class{label}" for label in range(12)])
    assert (named.class_names[10], named.y_test.tolist()) == ("class10", [2, 10])
    (root / "train" / "1").rename(root / "train" / "0.0")
    with pytest.raises(UserError, match=r"the classes 0 and 0.0 are the same number"):
        load(root)


def test_classes_may_be_numbers_and_words(tmp_path: Path) -> None:
    """Folders are known by their names alone, as characters are in a set of letters and digits."""
    root = tmp_path / "mine"
    train = {name: range(row, row + 1) for row, name in enumerate(("2", "1", "A"))}
    paint_folders(root, train, {"2": range(9, 10)})
    data = load(root)
    assert (data.class_names, data.y_test.tolist()) == (("1", "2", "A"), [1])


NAMES = st.sampled_from(["a.png", "b.JPG", "c", "d.heic", ".e.png", "f.png.txt", "Thumbs.db"])
PLACES = st.sampled_from(["", "in", "in/deep", ".hidden", "in/.hidden", "__MACOSX", "to", "to/up"])


@settings(max_examples=60)
@given(
    files=st.sets(st.tuples(st.sampled_from(["x", "y", "z"]), PLACES, NAMES), min_size=1),
    links=st.sets(st.tuples(st.sampled_from(["x", "y"]), st.sampled_from(["in", "..", "."]))),
)
def test_every_visible_image_is_read_once_under_its_own_class(
    files: set[tuple[str, str, str]], links: set[tuple[str, str]], tmp_path_factory: Any
) -> None:
    """Whatever else lies in the folders, however they are linked; a class is every folder."""
    root = tmp_path_factory.mktemp("any")
    for name, place, file in files:
        (root / "train" / name / place).mkdir(parents=True, exist_ok=True)
        (root / "train" / name / place / file).write_bytes(b"")
    for row, (name, target) in enumerate(sorted(links)):
        if (root / "train" / name).is_dir():
            (root / "train" / name / f"link{row}").symlink_to(target)
    hidden = {".hidden", "in/.hidden", "__MACOSX"}
    expected = Counter(
        (name, os.path.join("train", name, place, file))
        for name, place, file in files
        if place not in hidden and file in {"a.png", "b.JPG"}
    )
    if not expected:
        with pytest.raises(UserError, match="has no images in folders of classes"):
            read_folders(root, "train", "data.train")
        return
    found = read_folders(root, "train", "data.train")
    assert Counter((each.label, each.path) for each in found.images) == expected
    assert found.classes == sorted({name for name, *_ in files})
    others = {place for place in found.left_out if not place.endswith(("c", "heic", "txt"))}
    assert not {place for place in others if not Path(place).name.startswith("link")}

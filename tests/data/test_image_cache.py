"""Decoded images and what is known of their files."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import SIDE, number_of, paint, paint_folders
from PIL import Image

from noisetune.data import _decoding
from noisetune.data._contents import as_contents, content_of, read_contents, write_contents
from noisetune.data.base import ImageData
from noisetune.data.folder import Config
from noisetune.errors import UserError

OPENED: list[str] = []
WATCHING = [False]


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if WATCHING[0] and event == "open":
        OPENED.append(str(arguments[0]))


sys.addaudithook(_hear)


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Every file that Python opens meanwhile, by whatever function."""
    OPENED.clear()
    WATCHING[0] = True
    yield OPENED
    WATCHING[0] = False


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    paint_folders(
        root, {"cat": range(3), "dog": range(3, 6)}, {"cat": range(6, 7), "dog": range(7, 8)}
    )
    return root


def load(root: Path, cache: Path, **changes: Any) -> ImageData:
    return Config(**{"root": root, "size": SIDE, "cache": cache} | changes).load()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is decoded from here on."""
    calls, whole = [], _decoding.decode
    monkeypatch.setattr(_decoding, "decode", lambda *a: (calls.append(a), whole(*a))[1])
    return calls


def shown(data: ImageData) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for image, label in zip(data.x_train.numpy(), data.y_train, strict=True):
        found.setdefault(data.class_names[label], []).append(number_of(image))
    return found


def test_class_folders_that_change_names_show_their_own_images(root: Path, tmp_path: Path) -> None:
    """Though every file has the path, size and time of the one that was there."""
    for part in ("train", "test"):
        for file in (root / part).rglob("*.png"):
            file.rename(file.with_name(f"{int(file.stem) % 3}.bmp"))
    for file in root.rglob("*.bmp"):
        # Bitmaps of one form are of one size.
        Image.open(file).save(file, "BMP")
        os.utime(file, (315532800, 315532800))
    before = shown(load(root, tmp_path / "cache"))
    train = root / "train"
    for old, new in (("cat", "other"), ("dog", "cat"), ("other", "dog")):
        (train / old).rename(train / new)
    assert shown(load(root, tmp_path / "cache")) == {"cat": before["dog"], "dog": before["cat"]}


def test_a_file_that_is_put_in_anothers_place_is_seen(root: Path, tmp_path: Path) -> None:
    file = root / "train" / "cat" / "0.png"
    load(root, tmp_path / "cache")
    state, other = file.stat(), paint(tmp_path / "new.png", 77)
    content = other.read_bytes()
    padded = content + b"\0" * max(0, state.st_size - len(content))
    file.write_bytes(file.read_bytes() + b"\0" * max(0, len(content) - state.st_size))
    load(root, tmp_path / "cache")
    size = file.stat().st_size
    file.write_bytes(padded.ljust(size, b"\0"))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert 77 in shown(load(root, tmp_path / "cache"))["cat"]


def test_a_start_on_unchanged_files_opens_none(tmp_path: Path, opened: list[str]) -> None:
    root = tmp_path / "mine"
    content = paint(tmp_path / "one.png", 1).read_bytes()
    for number in range(3000):
        file = root / ("train", "test")[number % 3 == 0] / str(number % 2) / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content + number.to_bytes(4))
    load(root, tmp_path / "cache")
    assert len({file for file in opened if file.endswith(".png") and str(root) in file}) == 3000
    opened.clear()
    again = load(root, tmp_path / "cache")
    assert len(again.x_train) == 2000
    assert not [file for file in opened if str(root) in file]
    assert [file for file in opened if "cache" in file]


def test_a_file_is_read_once(root: Path, tmp_path: Path, opened: list[str]) -> None:
    load(root, tmp_path / "cache")
    images = [file for file in opened if file.endswith(".png")]
    assert sorted(file for file in images if "train" in file) == sorted(
        str(file) for file in (root / "train").rglob("*.png")
    )


@pytest.mark.parametrize("how", ["copied", "moved", "touched", "renamed files", "as lists"])
def test_images_elsewhere_are_hashed_and_not_decoded_again(
    root: Path, tmp_path: Path, decoded: list[Any], opened: list[str], how: str
) -> None:
    before = load(root, tmp_path / "cache")
    entries = sorted((tmp_path / "cache").glob("v*"))
    decoded.clear()
    opened.clear()
    match how:
        case "copied":
            root = Path(shutil.copytree(root, tmp_path / "copy"))
        case "moved":
            root = root.rename(tmp_path / "moved")
        case "touched":
            for file in root.rglob("*.png"):
                os.utime(file, (1, 1))
        case "renamed files":
            for file in root.rglob("*.png"):
                file.rename(file.with_name(f"0{file.name}"))
    lists = {}
    if how == "as lists":
        for part in ("train", "test"):
            files = sorted((root / part).rglob("*.png"), key=lambda f: (int(f.stem) % 3, f))
            lines = [f"{file.relative_to(root)} {file.parent.name}" for file in files]
            (root / f"{part}.txt").write_text("\n".join(lines))
        lists = {"train_list": "train.txt", "test_list": "test.txt"}
        root = Path(shutil.copytree(root, tmp_path / "copy"))
    after = load(root, tmp_path / "cache", **lists)
    assert decoded == []
    assert after.fingerprint == before.fingerprint
    assert sorted((tmp_path / "cache").glob("v*")) == entries
    assert len([file for file in opened if "copytree" not in file and ".png" in file]) >= 8


def test_copies_that_are_loaded_together_are_one_entry(root: Path, tmp_path: Path) -> None:
    roots = [root, *(Path(shutil.copytree(root, tmp_path / f"copy{n}")) for n in range(3))]
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda each: load(each, tmp_path / "cache"), roots))
    assert len({data.fingerprint for data in loaded}) == 1
    assert len(list((tmp_path / "cache").glob("v*"))) == 2
    assert not list((tmp_path / "cache").glob(".*.part"))


def test_an_image_that_moves_to_another_class_is_not_decoded_again(
    root: Path, tmp_path: Path, decoded: list[Any]
) -> None:
    load(root, tmp_path / "cache")
    decoded.clear()
    (root / "train" / "cat" / "0.png").rename(root / "train" / "dog" / "0.png")
    paint(root / "train" / "dog" / "9.png", 99)
    data = load(root, tmp_path / "cache")
    assert len(decoded) == 1
    assert {name: sorted(each) for name, each in shown(data).items()} == {
        "cat": [1, 2],
        "dog": [0, 3, 4, 5, 99],
    }
    assert torch.equal(data.x_train, load(root, tmp_path / "fresh").x_train)


def test_another_form_is_decoded_of_the_same_files(
    root: Path, tmp_path: Path, decoded: list[Any]
) -> None:
    load(root, tmp_path / "cache")
    decoded.clear()
    assert load(root, tmp_path / "cache", size=9).size == (9, 9)
    assert len(decoded) == 8


def test_images_of_one_content_have_its_pixels(root: Path, tmp_path: Path) -> None:
    for place in ("cat/copy.png", "dog/copy.png"):
        shutil.copy(root / "train" / "cat" / "1.png", root / "train" / place)
    expected = {"cat": [0, 1, 1, 2], "dog": [1, 3, 4, 5]}
    for _ in range(2):
        found = shown(load(root, tmp_path / "cache"))
        assert {name: sorted(each) for name, each in found.items()} == expected
        paint(root / "test" / "cat" / "8.png", 8)


def damage(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-16])


@pytest.mark.parametrize("harm", [damage, cut, Path.unlink])
@pytest.mark.parametrize("names", ["*.contents", "v*/contents"])
def test_damaged_contents_are_taken_again(
    root: Path, tmp_path: Path, harm: Callable[[Path], None], names: str
) -> None:
    before = load(root, tmp_path / "cache")
    expected = shown(before)
    for file in (tmp_path / "cache").glob(names):
        harm(file)
    after = load(root, tmp_path / "cache")
    assert (shown(after), after.fingerprint) == (expected, before.fingerprint)
    assert all(read_contents(file, 6) is not None or read_contents(file, 2) is not None
               for file in (tmp_path / "cache").glob(names))  # fmt: skip


def test_contents_are_read_as_they_were_written(tmp_path: Path) -> None:
    digests = [bytes(16), content_of(b"a"), b"\0" * 8 + b"a" * 4 + b"\0" * 4]
    write_contents(tmp_path / "x", as_contents(digests))
    read = read_contents(tmp_path / "x", 3)
    assert read is not None
    assert read.tobytes() == b"".join(digests)
    assert read_contents(tmp_path / "x", 2) is None
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


def test_a_file_that_is_lost_meanwhile_is_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Path.open

    def open_(file: Path, *mode: Any, **options: Any) -> Any:
        if file.name == "4.png":
            raise FileNotFoundError(2, "No such file", str(file))
        return usual(file, *mode, **options)

    monkeypatch.setattr(Path, "open", open_)
    with pytest.raises(UserError, match=r"dog/4.png: cannot be read as an image \(.*No such file"):
        load(root, tmp_path / "cache")


@pytest.mark.parametrize("header", [b"{", b"(" * 50, b"\xff" * 50, b"  a\n b"])
def test_an_entry_whose_header_is_damaged_is_made_again(
    root: Path, tmp_path: Path, header: bytes
) -> None:
    before = load(root, tmp_path / "cache")
    for file in (tmp_path / "cache").glob("v*/images.npy"):
        content = file.read_bytes()
        file.write_bytes(content[:10] + header.ljust(118)[:117] + b"\n" + content[128:])
    assert load(root, tmp_path / "cache").fingerprint == before.fingerprint

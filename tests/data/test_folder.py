"""One's own image files, in folders and lists."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from torchvision.transforms.v2 import functional

from noisetune.config import TrialConfig
from noisetune.data import _decoding, _image_cache
from noisetune.data._decoding import Form, decode
from noisetune.data._listing import inside
from noisetune.data.base import channel_statistics, content_hash
from noisetune.data.folder import Config
from noisetune.errors import UserError
from noisetune.pipeline import run_trial
from noisetune.stages.labels import describe_noise, draw_labels
from noisetune.store import NullStore

RNG = np.random.default_rng(0)
KINDS = ("png", "jpg", "bmp", "webp", "gif", "tiff")


def draw(file: Path, height: int = 20, width: int = 24, level: int | None = None) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[: height // 2] = pixels[0, 0] if level is None else level
    Image.fromarray(pixels).save(file)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve training and four test images of two classes, of many formats and sizes."""
    root = tmp_path / "mine"
    for number in range(12):
        kind = KINDS[number % len(KINDS)]
        draw(root / "train" / ("cat", "dog")[number % 2] / f"{number}.{kind}", 10 + number, 20)
    for number in range(4):
        draw(root / "test" / ("cat", "dog")[number % 2] / f"{number}.png", 9, 9 + number)
    return root


@pytest.fixture
def large(root: Path) -> None:
    """The same files with larger images."""
    for file in root.rglob("*.*"):
        draw(file, 40, 50)


@pytest.fixture
def given_as(root: Path) -> Callable[..., Config]:
    """The data set in `root`, with its cache beside it."""
    usual = {"root": root, "size": 8, "cache": root.parent / "cache"}
    return lambda **changes: Config(**usual | changes)


@pytest.fixture
def listed(root: Path, given_as: Callable[..., Config]) -> Callable[..., Config]:
    """The same images named by lists, where `train` and `test` are the lines."""

    def listed(train: list[str] | None = None, test: list[str] | None = None, **changes: Any):
        known = {"cat": 0, "dog": 1}
        parts = {"train": train, "test": test}
        for part, lines in parts.items():
            files = sorted((root / part).rglob("*.*"))
            usual = [f"{x.relative_to(root)} {known[x.parent.name]}" for x in files]
            (root / f"{part}.txt").write_text("\n".join(usual if lines is None else lines))
        return given_as(train_list="train.txt", test_list="test.txt", **changes)

    return listed


def test_folders_are_classes_and_any_format_and_size_is_read(given_as: Any, root: Path) -> None:
    data = given_as().load()
    assert data.x_train.shape == (12, 3, 8, 8)
    assert data.class_names == ("cat", "dog")
    assert data.y_train.tolist() == [0, 1] * 6
    assert data.y_test.tolist() == [0, 1, 0, 1]
    first = sorted((root / "train" / "cat").iterdir())[0]
    assert np.array_equal(data.x_train[0], decode(str(first), Form(8, 8, 3)))


def test_the_first_images_of_every_class_come_first(given_as: Any) -> None:
    assert given_as(train_samples=4).load().y_train.tolist() == [0, 1, 0, 1]


def test_the_parts_may_have_other_names(given_as: Any, root: Path) -> None:
    (root / "test").rename(root / "val")
    assert len(given_as(test="val").load().x_test) == 4


def test_other_files_are_left_alone(given_as: Any, root: Path) -> None:
    for name in ("cat/Thumbs.db", "cat/.hidden.png", "readme.txt", ".git/x.png"):
        (root / "train" / name).parent.mkdir(exist_ok=True)
        (root / "train" / name).write_text("no image")
    assert len(given_as().load().x_train) == 12


@pytest.mark.parametrize(("size", "shape"), [(16, (16, 16)), ((8, 12), (8, 12))])
def test_images_are_brought_to_the_size(given_as: Any, size: Any, shape: tuple[int, int]) -> None:
    data = given_as(size=size).load()
    assert data.size == shape
    assert data.x_test.shape[2:] == shape


def test_the_shorter_side_is_resized_and_the_centre_cropped(tmp_path: Path) -> None:
    """As torchvision does it on Pillow's images; a checkerboard becomes an even grey."""
    wide = Image.fromarray(RNG.integers(0, 256, (32, 96, 3), dtype=np.uint8))
    wide.save(tmp_path / "wide.png")
    expected = functional.center_crop(functional.resize(wide, [8]), [8, 8])
    made = decode(str(tmp_path / "wide.png"), Form(8, 8, 3))
    assert np.array_equal(made, np.asarray(expected).transpose(2, 0, 1))
    scheduler = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(scheduler).save(tmp_path / "scheduler.png")
    inner = decode(str(tmp_path / "scheduler.png"), Form(8, 8, 1))
    assert np.all(np.abs(inner.astype(int) - 127) <= 2)


def test_grey_and_colour(given_as: Any, root: Path) -> None:
    Image.new("L", (9, 9), 77).save(root / "test" / "cat" / "0.png")
    assert given_as(grey=True).load().channels == 1
    assert torch.all(given_as().load().x_test[0] == 77)


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    image, exif = Image.new("RGB", (16, 32)), Image.Exif()
    image.paste((255, 255, 255), (0, 0, 16, 16))
    exif[0x0112] = 6  # shown turned by a quarter, clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    pixels = decode(str(tmp_path / "turned.png"), Form(8, 16, 3))
    assert pixels[:, :, :6].max() == 0
    assert pixels[:, :, 10:].min() == 255


def test_lists_with_numbers_keep_their_order(listed: Any) -> None:
    train = ["train/dog/1.jpg 1", "", "train/cat/0.png  0\r", "train/dog/3.webp\t2"]
    data = listed(train=train).load()
    assert data.y_train.tolist() == [1, 0, 2]
    assert data.class_names == ("0", "1", "2")


def test_lists_with_words(listed: Any) -> None:
    test = ["test/dog/1.png\tbig dog", "test/cat/0.png\tcat"]
    data = listed(train=["train/dog/1.jpg\tbig dog", "train/cat/0.png\tcat"], test=test).load()
    assert data.class_names == ("big dog", "cat")
    assert data.y_test.tolist() == [0, 1]


def test_classes_give_names_to_numbers_and_order_to_names(listed: Any, given_as: Any) -> None:
    names = ("dog", "cat", "bird")
    train = ["train/dog/1.jpg 0", "train/cat/0.png cat", "train/dog/3.webp 2"]
    mixed = listed(train=train, classes=names).load()
    assert mixed.y_train.tolist() == [0, 1, 2]
    assert mixed.class_names == names
    assert given_as(classes=names[:2]).load().y_train.tolist() == [1, 0] * 6


def test_an_absolute_path_under_root_is_taken(listed: Any, root: Path) -> None:
    data = listed(train=[f"{root / 'train/cat/0.png'} 0", "train/dog/1.jpg 1"]).load()
    assert len(data.x_train) == 2


@given(st.lists(st.sampled_from(["a", "..", ".", "", "/", "b.png", "~"]), max_size=6))
def test_a_path_never_leaves_root(parts: list[str]) -> None:
    home = Path("/data/mine")
    path = inside("/".join(parts), home)
    if path is not None:
        assert Path(os.path.normpath(home / path)).is_relative_to(home)
        assert not Path(path).is_absolute()


@pytest.mark.parametrize(
    ("train", "problem"),
    [
        (["train/cat/0.png 0", "../a.png 0"], r"train.txt:2: ../a.png leads out of .*mine"),
        (["train/cat/0.png 0", "train/../../a.png 0"], r"train.txt:2: .* leads out of"),
        (["train/cat/0.png 0", "/etc/passwd 0"], r"train.txt:2: /etc/passwd leads out of"),
        (
            ["train/cat/0.png 0", "train/cat/2.png"],
            r"train.txt:2: 'train/cat/2.png' is no `path la",
        ),
        ([], r"data.train_list: .*train.txt names no image"),
        (["train/cat/0.png 0", "none.png 1"], r"train.txt:2: .*none.png: cannot be found"),
        (["train/cat/0.png 0", "train 1"], r"train.txt:2: .*mine/train: is no file"),
        (["train/cat/0.png 0", "train.txt 1"], r"train.txt:2: .*cannot be read as an image"),
        (["train/cat/0.png 0", "train/dog/1.jpg -1"], r"train.txt:2: label -1 is out of range"),
        (
            ["train/cat/0.png 0", "train/dog/1.jpg 9999999999"],
            r"txt:2: the label 9999999999 follow",
        ),
        (
            ["train/cat/0.png 0", "train/dog/1.jpg 10"],
            r"train.txt:2: the label 10 follows 0, and no",
        ),
        (["train/cat/0.png 0", "test/dog/1.png 1"], r"test.txt:2: .* is a training image too"),
        (
            ["train/cat/0.png 0", *(f"{x}.png {x % 2}" for x in range(9))],
            r"(?s)txt:2: .*txt:6: .*\.\.\. and 4 more",
        ),
        (
            [f"{x}.png 0" for x in range(9)],
            r"train.txt is no list of images in .*: of 9 lines none",
        ),
    ],
)
def test_a_mistake_in_a_list_is_named_with_its_line(
    listed: Any, train: list[str], problem: str
) -> None:
    test = ["test/cat/0.png 0", "test/dog/1.png 1"]
    with pytest.raises(UserError, match=problem):
        listed(train=train, test=test).load()


SECRETS = [
    "root:x:0:0:super user:/root:/bin/sh",
    "sda1 /boot ext4 defaults 0 1",
    "../key 1",
    "word",
]
"""Lines of files that are no lists; some have the form of one."""


@pytest.mark.parametrize("way", ["as it is", "link"])
def test_of_a_file_that_is_no_list_nothing_is_shown(listed: Any, root: Path, way: str) -> None:
    config = listed()
    (root.parent / "secret").write_text("\n".join(SECRETS))
    (root / "train.txt").unlink()
    if way == "link":
        (root / "train.txt").symlink_to(root.parent / "secret")
    else:
        (root / "train.txt").write_text("\n".join(SECRETS))
    with pytest.raises(UserError, match=r"train.txt is no list of images in .*: of 4 ") as said:
        config.load()
    message = str(said.value).replace(str(root.parent), "")
    assert not [word for word in ("root:", "sda1", "ext4", "key", "word") if word in message]


@pytest.mark.parametrize("name", ["/etc/group", "../other.txt", "train/../../other.txt"])
def test_a_list_lies_in_the_root(given_as: Any, root: Path, name: str) -> None:
    (root.parent / "other.txt").write_text("train/cat/0.png 0")
    with pytest.raises(UserError, match=r"data.train_list: .* leads out of .*mine; a list lies"):
        given_as(train_list=name, test_list=name).load()


def test_a_list_may_be_named_by_its_whole_path_or_be_a_link(listed: Any, root: Path) -> None:
    whole = listed().load()
    (root / "train.txt").rename(root.parent / "elsewhere.txt")
    (root / "linked.txt").symlink_to(root.parent / "elsewhere.txt")
    changes = {"train_list": root / "linked.txt", "test_list": root / "test.txt"}
    given = listed().model_copy(update=changes)
    assert given.load().fingerprint == whole.fingerprint


def test_a_device_is_no_list(listed: Any, root: Path) -> None:
    config = listed()
    (root / "train.txt").unlink()
    (root / "train.txt").symlink_to("/dev/zero")
    with pytest.raises(UserError, match=r"train.txt cannot be read \(.*it is no file\)"):
        config.load()


NAMES = st.text(
    st.characters(
        blacklist_categories=("Cs", "Zs", "Zl", "Zp", "Cc"), blacklist_characters="/'\"."
    ),
    min_size=1,
    max_size=20,
)


@given(st.lists(NAMES, min_size=2, max_size=2, unique=True))
def test_files_and_lists_may_have_names_of_any_character(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    root = tmp_path_factory.mktemp("named") / names[0]
    files = [f"{name}{place}.png" for place, name in enumerate(names * 2)]
    for file in files:
        draw(root / file)
    for part, chosen in (("train", files[:2]), ("test", files[2:])):
        lines = [f"{file}\t{place}" for place, file in enumerate(chosen)]
        (root / f"{names[1]}.{part}").write_text("\n".join(lines), encoding="utf-8")
    lists = {f"{part}_list": f"{names[1]}.{part}" for part in ("train", "test")}
    data = Config(root=root, size=8, cache=root.parent / "cache", **lists).load()
    assert data.y_train.tolist() == [0, 1]


@settings(max_examples=60)
@given(st.sampled_from(["root", "cache", "train", "train_list"]), st.text(max_size=12))
@example("cache", "\0")
@example("cache", "\ud800")
@example("train_list", "\0")
@example("root", "\ud800")
def test_a_path_of_any_text_is_used_or_refused(
    tmp_path_factory: pytest.TempPathFactory, field: str, text: str
) -> None:
    """Nothing else is raised, and nothing is made outside of the working folder."""
    outside = tmp_path_factory.mktemp("any")
    folder = outside / "here"
    for file in ("train/cat/0.png", "train/dog/1.png", "test/cat/2.png", "test/dog/3.png"):
        draw(folder / "mine" / file)
    usual = {"root": "mine", "size": 8, "cache": "cache"}
    lists = {"test_list": "x", "train_list": "x"} if field == "train_list" else {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with suppress(UserError, ValidationError):
            Config(**usual | lists | {field: text.lstrip("/")}).load()
    assert field == "cache" or list(outside.iterdir()) == [folder]


def test_a_test_label_that_no_training_image_has_is_named(listed: Any, given_as: Any, root: Path):
    with pytest.raises(UserError, match=r"test.txt:1: label '7' is no class\nthe classes are 0, 1"):
        listed(test=["test/cat/0.png 7"]).load()
    draw(root / "test" / "cow" / "1.png")
    with pytest.raises(UserError, match=r"test/cow/1.png: label 'cow' is no class"):
        given_as().load()


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0 a"])
def test_an_unreadable_image_is_named(given_as: Any, root: Path, content: bytes) -> None:
    (root / "train" / "cat" / "0.png").write_bytes(content)
    with pytest.raises(UserError, match=r"mine/train/cat/0.png: cannot be read as an image"):
        given_as().load()


def test_a_half_written_image_is_named(given_as: Any, root: Path) -> None:
    file = root / "train" / "dog" / "1.jpg"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"dog/1.jpg: cannot be read as an image"):
        given_as().load()


def test_only_a_few_unreadable_images_are_named(
    given_as: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_decoding, "CHUNK_BYTES", 1)
    monkeypatch.setattr(_decoding, "available_cpus", lambda: 5)
    for file in (root / "train").rglob("*.*"):
        file.write_bytes(b"no image")
    with pytest.raises(UserError, match="not all were looked at") as caught:
        given_as().load()
    assert str(caught.value).count("cannot be read") == 5


def test_deep_pixels_and_programs_are_no_images(given_as: Any, root: Path) -> None:
    deep = root / "train" / "cat" / "0.png"
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(deep)
    with pytest.raises(UserError, match=r"0.png: .*its pixels are of mode I;16; save it with 8"):
        given_as().load()
    Image.new("RGB", (9, 9)).save(deep.with_suffix(".eps"))
    deep.with_suffix(".eps").rename(deep)
    with pytest.raises(UserError, match=r"0.png: cannot be read as an image"):
        given_as().load()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"root": "nowhere"}, "data.root: nowhere is no folder"),
        ({"train": "fit"}, "data.train: .*mine/fit is no folder"),
        ({"test": "train/cat"}, "data.test: .*train/cat has no images in folders"),
        ({"test": "train"}, "is a training image too"),
        ({"train_list": "a", "test_list": "b"}, "data.train_list: .*mine/a cannot be read"),
        ({"classes": ("dog", "cow")}, "label 'cat' is no class\n.*\n?.*"),
    ],
)
def test_a_layout_that_is_not_there_is_a_user_error(
    given_as: Any, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        given_as(**changes).load()


@pytest.mark.parametrize(
    "changes",
    [
        {"train": "../other"}, {"test": "/etc"}, {"test": "."}, {"train_list": "a"},
        {"classes": ("a", "a")}, {"classes": ("a",)}, {"size": 4}, {"size": (8, 5000)},
        {"size": None}, {"labels_are": "unknown"},
    ],
    ids=str,
)  # fmt: skip
def test_a_field_that_cannot_be_is_refused(given_as: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        given_as(**changes)


def test_a_single_class_is_refused(given_as: Any, root: Path) -> None:
    for part in ("train", "test"):
        (root / part / "dog").rename(root / f"{part}-dogs")
    with pytest.raises(UserError, match="images of one class alone"):
        given_as().load()


def test_what_is_known_of_cached_images_is_what_they_are(given_as: Any) -> None:
    given_as().load()
    again = given_as().load()
    assert again.train_images_hash == content_hash(again.x_train)
    assert again.known_hashes[1] == (again.x_test, content_hash(again.x_test))
    assert (again.mean, again.std) == channel_statistics(again.x_train)


def test_images_are_decoded_once_and_never_hashed_again(
    given_as: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = given_as().load()
    forbid = pytest.fail
    monkeypatch.setattr(_image_cache, "decode_all", lambda *_: forbid("decoded again"))
    monkeypatch.setattr(_image_cache, "channel_statistics", forbid, raising=False)
    again = given_as().load()
    assert torch.equal(first.x_train, again.x_train)

    def labels_alone(tensor: torch.Tensor) -> str:
        assert tensor.dtype == torch.int64
        return content_hash(tensor)

    monkeypatch.setattr("noisetune.data.base.content_hash", labels_alone)
    assert first.fingerprint == again.fingerprint


def test_loaded_images_are_no_copy_in_memory(given_as: Any) -> None:
    """They lie in the mapping of the cache's file."""
    data = given_as().load()
    start = data.x_train.data_ptr()
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("the mappings of a process are told by Linux alone")
    spans = [line.split() for line in maps.read_text().splitlines() if "images.npy" in line]
    bounds = [[int(end, 16) for end in span[0].split("-")] for span in spans]
    assert any(low <= start < high for low, high in bounds)


def change_a_file(root: Path) -> None:
    draw(root / "train" / "cat" / "0.png", level=250)


def touch_a_file(root: Path) -> None:
    os.utime(root / "train" / "cat" / "0.png", (1, 1))


def add_a_file(root: Path) -> None:
    draw(root / "train" / "cat" / "99.png")


@pytest.mark.parametrize(
    ("change", "count"), [(change_a_file, 1), (touch_a_file, 0), (add_a_file, 1)]
)
def test_a_changed_file_alone_is_decoded_anew(
    given_as: Any,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    count: int,
) -> None:
    given_as().load()
    decoded = []
    whole = _decoding.decode
    monkeypatch.setattr(_decoding, "decode", lambda *a: (decoded.append(a), whole(*a))[1])
    change(root)
    data = given_as().load()
    assert len(decoded) == count
    fresh = given_as(cache=root.parent / "other").load()
    assert torch.equal(data.x_train, fresh.x_train)


def cut_short(entry: Path) -> None:
    file = entry / "images.npy"
    file.write_bytes(file.read_bytes()[:-1])


def rewrite(entry: Path) -> None:
    file = entry / "images.npy"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def lose_the_images(entry: Path) -> None:
    (entry / "images.npy").unlink()


def lose_the_manifest(entry: Path) -> None:
    (entry / "manifest.json").unlink()


def falsify(entry: Path) -> None:
    file = entry / "manifest.json"
    file.write_text(file.read_text().replace('"mean": [', '"mean": [0.125, '))


def scramble(entry: Path) -> None:
    (entry / "manifest.json").write_bytes(b"\xff[1, 2")


@pytest.mark.parametrize(
    "damage", [cut_short, rewrite, lose_the_images, lose_the_manifest, falsify, scramble]
)
def test_a_damaged_cache_is_made_again(
    given_as: Any, root: Path, damage: Callable[[Path], None]
) -> None:
    before = given_as().load()
    expected, fingerprint, moments = before.x_train.clone(), before.fingerprint, before.mean
    for entry in (root.parent / "cache").iterdir():
        if entry.is_dir():
            damage(entry)
    after = given_as().load()
    assert torch.equal(after.x_train, expected)
    assert (after.fingerprint, after.mean) == (fingerprint, moments)


def test_a_cache_is_whole_or_not_there(
    given_as: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended while it is written, and then begun again."""

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_image_cache.os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            given_as().load()
    assert not [each for each in (root.parent / "cache").iterdir() if each.is_dir()]
    assert len(given_as().load().x_train) == 12


def test_what_an_ended_process_left_is_cleared_away(given_as: Any, root: Path) -> None:
    given_as().load()
    cache = root.parent / "cache"
    entries = [each for each in cache.iterdir() if each.is_dir()]
    for entry, listing in zip(entries, sorted(cache.glob("*.contents")), strict=True):
        entry.rename(entry.with_name(f".{listing.stem}.torn.part"))
    given_as().load()
    assert sorted(x for x in cache.iterdir() if x.is_dir()) == sorted(entries)


def test_trials_that_start_together_decode_once(
    given_as: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded, whole = [], _decoding.decode
    monkeypatch.setattr(_decoding, "decode", lambda *a: (decoded.append(a), whole(*a))[1])
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: given_as().load(), range(4)))
    assert len(decoded) == 12 + 4
    assert len({data.fingerprint for data in loaded}) == 1


def test_images_deeper_in_a_class_are_its_images(given_as: Any, root: Path) -> None:
    draw(root / "train" / "cat" / "wild" / "lynx" / "1.png")
    assert given_as().load().y_train.bincount().tolist() == [7, 6]


def test_a_cache_that_cannot_be_written_is_a_user_error(
    given_as: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        UserError, match=r"data.cache: the decoded images cannot be kept in .*0.png"
    ):
        given_as(cache=root / "train" / "cat" / "0.png").load()
    monkeypatch.setattr(_image_cache.shutil, "disk_usage", lambda _: type("", (), {"free": 9}))
    with pytest.raises(UserError, match=r"data.cache: .*GB are needed, 0.0 GB are free"):
        given_as().load()


def test_the_usual_cache_is_the_users(
    given_as: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    given_as(cache=None).load()
    entries = list((tmp_path / "home" / "noisetune" / "images").glob("v*"))
    assert len(entries) == 2


def test_progress_is_logged(
    given_as: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_decoding, "LOG_SECONDS", -1.0)
    with caplog.at_level("INFO", "noisetune.data"):
        given_as().load()
    assert "12 of 12 images decoded" in caplog.text


@pytest.mark.parametrize(("size", "kernel"), [(65, 7), (128, 13), ((100, 300), 11), (224, 23)])
def test_large_images_are_augmented_as_in_the_field(
    given_as: Any, large: None, size: Any, kernel: int
) -> None:
    data = given_as(size=size, train_samples=2, test_samples=2).load()
    assert data.finetune_augment.crop_scale == data.ssl_augment.crop_scale == (0.08, 1.0)
    assert (data.ssl_augment.blur, data.ssl_augment.blur_kernel) == (0.5, kernel)


@pytest.mark.parametrize("size", [32, 100])
@pytest.mark.parametrize("flip", [True, False])
def test_flips_can_be_left_out(given_as: Any, large: None, size: int, flip: bool) -> None:
    data = given_as(size=size, flip=flip).load()
    assert (data.ssl_augment.flip > 0, data.finetune_augment.flip > 0) == (flip, flip)
    assert data.finetune_augment.pad == (4 if size == 32 else 0)


@pytest.mark.parametrize("size", [(81, 8), 200])
def test_an_image_is_enlarged_8_times_at_most(
    given_as: Any, root: Path, large: None, size: Any
) -> None:
    draw(root / "train" / "cat" / "small.png", 10, 12)
    with pytest.raises(UserError, match=r"small.png: 10x12 pixels .* and 8 times is the most"):
        given_as(size=size).load()


def trial(config: Config, tiny_trial: Callable[..., TrialConfig], **changes: Any) -> TrialConfig:
    return tiny_trial(data=config.model_dump(), pretrain={"method": "none"}, **changes)


@pytest.mark.parametrize("noise", [{"model": "none"}, {"rate": 0.5}])
def test_of_wild_training_labels_no_rate_is_claimed(
    given_as: Any, tiny_trial: Any, drive: Any, noise: dict[str, Any]
) -> None:
    config = trial(given_as(), tiny_trial, noise=noise)
    points, result = drive(run_trial(config, NullStore()))
    for unknown in ("train_rate", "validation_rate", "train_matrix"):
        assert result.noise[unknown] is None
    assert result.noise["detection_rate"] is not None
    assert {p.values["detect/memorisation"] for p in points if p.stage == "finetune"} == {None}
    assert points[-1].values["detect/error_rate"] == result.noise["detection_rate"]


def test_of_clean_training_labels_the_rate_is_told(given_as: Any, tiny_trial: Any) -> None:
    config = trial(given_as(labels_are="clean"), tiny_trial, noise={"model": "none"})
    data = config.data.load()
    assert describe_noise(draw_labels(config, data), data)["train_rate"] == 0.0


def test_whether_the_truth_is_known_is_in_the_fingerprint(given_as: Any) -> None:
    prints = {given_as(labels_are=kind).load().fingerprint for kind in ("clean", "noisy")}
    assert len(prints) == 2


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "1"])
def test_an_image_is_measured_before_it_is_decoded(
    given_as: Callable[..., Config], root: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    Image.new(mode, (3000, 1000)).save(root / "train" / "cat" / "large.png")
    decoded: list[Any] = []
    monkeypatch.setenv("NOISETUNE_MEMORY", "50M")
    monkeypatch.setattr(_decoding, "decode", lambda *given: decoded.append(given))
    large = r"cat/large.png: its 3000 x 1000 pixels would take 0.06 GB of memory, and 0.05 GB"
    with pytest.raises(UserError, match=large):
        _one(root / "train" / "cat" / "large.png")
    assert not decoded
    monkeypatch.undo()
    assert given_as().load().x_train.shape[0] == 13


def test_a_file_is_measured_before_it_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = root / "train" / "cat" / "large.tiff"
    with file.open("wb") as sparse:
        sparse.truncate(10**12)
    monkeypatch.setenv("NOISETUNE_MEMORY", "50M")
    with pytest.raises(UserError, match=r"large.tiff: the file would take 1e\+03 GB of memory"):
        _one(file)


def _one(file: Path) -> None:
    """Decode one file alone."""
    form = Form(8, 8, 3)
    list(_decoding.decode_all([str(file)], form, lambda index: str(file), lambda content: None))


def test_threads_that_decode_share_memory_and_have_a_limit(
    given_as: Callable[..., Config], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images of this folder take up to ten kilobytes each, of which a few fit at once."""
    shares: list[int] = []
    taken = _decoding.Shares.taken
    monkeypatch.setattr(_decoding, "available_cpus", lambda: 64)
    monkeypatch.setattr(
        _decoding.Shares, "taken", lambda self, share: (shares.append(share), taken(self, share))[1]
    )
    pools: list[int] = []
    usual = ThreadPoolExecutor
    monkeypatch.setattr(
        _decoding, "ThreadPoolExecutor", lambda count, name: (pools.append(count), usual(count))[1]
    )
    monkeypatch.setenv("NOISETUNE_MEMORY", "20K")
    assert len(given_as().load().x_train) == 12
    assert len(shares) == 16
    assert set(pools) == {_decoding.MOST_WORKERS}

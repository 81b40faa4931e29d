"""Published sets with wrong labels, each a few made-up images laid out as its archives are."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from pictures import SIDE, number_of, paint

from noisetune.config import TrialConfig
from noisetune.data._layouts import ANIMALS, CLOTHES, LAYOUTS, RED_RATES
from noisetune.data.base import ImageData
from noisetune.data.folder import Config, LayoutName
from noisetune.errors import UserError

Load = Callable[..., ImageData]


def write(file: Path, lines: Iterable[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def animal10n(root: Path) -> None:
    """Twenty training images, of which the second ten are the classes again, and ten for tests."""
    for number in range(20):
        paint(root / f"training/{number % 10}_{number:02}.png", number)
    for number in range(10):
        paint(root / f"testing/{number}_{number}.png", 100 + number)


def clothing1m(root: Path) -> None:
    """28 images with noisy labels, of which 14 have clean ones, too; each class is one on."""
    noisy = {f"images/{n % 3}/{n}.png": n % 14 for n in range(28)}
    clean = {path: (label + 1) % 14 for path, label in list(noisy.items())[:14]}
    tests = {f"images/9/{100 + label}.png": label for label in range(14)}
    for path in noisy | tests:
        paint(root / path, int(Path(path).stem))
    write(root / "noisy_label_kv.txt", (f"{path} {label}" for path, label in noisy.items()))
    write(root / "clean_label_kv.txt", (f"{p} {n}" for p, n in (clean | tests).items()))
    write(root / "noisy_train_key_list.txt", list(noisy)[14:])
    write(root / "clean_train_key_list.txt", clean)
    write(root / "clean_test_key_list.txt", tests)
    write(root / "clean_val_key_list.txt", list(tests)[:7])


def webvision(root: Path) -> None:
    """Sixty classes with an image of Google each, and one of Flickr; ten validation images."""
    for source, start in (("google", 0), ("flickr", 60)):
        paths = [f"{source}/q{n:04}/{start + n}.png" for n in range(60)]
        for path in paths:
            paint(root / path, int(Path(path).stem))
        lines = (f"{path} {label}" for label, path in enumerate(paths))
        write(root / f"info/train_filelist_{source}.txt", lines)
    for number in range(10):
        paint(root / f"val_images_256/val{number:06}.png", 200 + number)
    lines = (f"val{number:06}.png {(0, 55)[number % 2]}" for number in range(10))
    write(root / "info/val_filelist.txt", lines)


def food101n(root: Path) -> None:
    """Two classes of four images each; the last of each was found wrong."""
    release = root / "Food-101N_release"
    paths = [f"{food}/{n}.png" for n, food in enumerate(["apple_pie", "waffles"] * 4)]
    for number, path in enumerate(paths):
        paint(release / "images" / path, number)
    header = "class_name/key\tverification_label"
    write(release / "meta/imagelist.tsv", ["class_name/key", *paths])
    looked_at = [f"{path}\t{int(n < 2)}" for n, path in enumerate(paths[2:6])]
    write(release / "meta/verified_train.tsv", [header, *looked_at])
    write(release / "meta/verified_val.tsv", [header, *(f"{path}\t1" for path in paths[:2])])
    for number, food in enumerate(["waffles", "apple_pie"]):
        paint(root / f"food-101/images/{food}/{100 + number}.jpg", 100 + number)
    write(root / "food-101/meta/test.txt", ["waffles/100", "apple_pie/101"])


def red_mini_imagenet(root: Path) -> None:
    """A list for each rate, in which so many of ten labels are the other class."""
    for number in range(10):
        paint(root / f"all_images/n{number:017}.png", number)
    for rate in RED_RATES:
        wrong = round(10 * float(rate))
        lines = (f"n{n:017}.png {(n + (n < wrong)) % 2}" for n in range(10))
        write(root / f"split/red_noise_nl_{rate}", lines)
    for number in range(4):
        paint(root / f"validation/{number % 2}/ILSVRC2012_val_{number:08}.png", 100 + number)
    lines = (f"ILSVRC2012_val_{number:08}.png {number % 2}" for number in range(4))
    write(root / "split/clean_validation", lines)


MAKE = {
    "animal10n": animal10n,
    "clothing1m": clothing1m,
    "webvision": webvision,
    "mini_webvision": webvision,
    "food101n": food101n,
    "red_mini_imagenet": red_mini_imagenet,
}
NEEDED = {"red_mini_imagenet": {"train": "red_noise_nl_0.4"}}


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """The set that is laid out so, in a folder of its own."""

    def load(layout: str, **changes: Any) -> ImageData:
        root = tmp_path / "mine"
        if not root.exists():
            MAKE[layout](root)
        usual = {"root": root, "size": SIDE, "cache": tmp_path / "cache", "layout": layout}
        return Config(**usual | NEEDED.get(layout, {}) | changes).load()

    return load


def numbers(images: Any) -> list[int]:
    return [number_of(image) for image in np.asarray(images)]


def test_each_layout_can_be_named_and_is_tried_here() -> None:
    assert set(get_args(LayoutName)) == set(LAYOUTS) == set(MAKE)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_part_of_a_layout_is_read(load: Load, layout: str) -> None:
    for train in LAYOUTS[layout].train:
        for test in LAYOUTS[layout].test:
            data = load(layout, train=train, test=test, overlap="drop_from_train")
            assert len(data.x_train) == len(data.y_train) >= 2
            assert len(data.x_test) == len(data.y_test) >= 2
            assert not data.labels_clean


def test_animals_have_their_label_in_their_name(load: Load) -> None:
    data = load("animal10n")
    assert data.class_names == ANIMALS
    assert data.y_train.tolist() == [*range(10)] * 2
    assert numbers(data.x_train) == [*range(20)]
    assert numbers(data.x_test) == [*range(100, 110)]


def test_clothes_have_a_list_of_keys_and_one_of_labels(load: Load) -> None:
    data = load("clothing1m")
    assert data.class_names == CLOTHES
    assert (numbers(data.x_train), data.y_train.tolist()) == ([*range(14, 28)], [*range(14)])
    assert (numbers(data.x_test), data.y_test.tolist()) == ([*range(100, 114)], [*range(14)])


def test_clothes_that_people_looked_at_have_their_clean_labels(load: Load) -> None:
    data = load("clothing1m", train="clean_train", test="clean_val", labels_are="clean")
    assert numbers(data.x_train) == [*range(14)]
    assert data.y_train.tolist() == [*range(1, 14), 0]
    assert (len(data.x_test), data.labels_clean) == (7, True)


def test_webvision_has_lists_and_its_mini_set_50_classes(load: Load) -> None:
    whole, mini = load("webvision"), load("mini_webvision")
    assert (whole.classes, mini.classes) == (60, 50)
    assert (numbers(whole.x_train), numbers(mini.x_train)) == ([*range(60)], [*range(50)])
    assert (len(whole.x_test), numbers(mini.x_test)) == (10, [200, 202, 204, 206, 208])
    both = load("webvision", train="google_and_flickr")
    assert numbers(both.x_train) == [*range(120)]
    assert both.y_train.tolist() == [*range(60)] * 2


def test_food_has_folders_of_classes_and_is_tested_on_food_101(load: Load) -> None:
    data = load("food101n")
    assert data.class_names == ("apple_pie", "waffles")
    assert (numbers(data.x_train), data.y_train.tolist()) == ([*range(8)], [0, 1] * 4)
    assert data.y_test.tolist() == [1, 0]


def test_food_that_people_found_wrong_is_left_out(load: Load) -> None:
    data = load("food101n", train="verified_train", labels_are="clean")
    assert (numbers(data.x_train), data.y_train.tolist()) == ([2, 3], [0, 1])


@pytest.mark.parametrize(("rate", "wrong"), [("0.0", 0), ("0.2", 2), ("0.8", 8)])
def test_mini_imagenet_has_a_list_for_each_rate(load: Load, rate: str, wrong: int) -> None:
    data = load("red_mini_imagenet", train=f"red_noise_nl_{rate}")
    right = np.arange(10) % 2
    assert int((data.y_train.numpy() != right).sum()) == wrong
    assert numbers(data.x_train) == [*range(10)]
    assert (numbers(data.x_test), data.y_test.tolist()) == ([*range(100, 104)], [0, 1, 0, 1])


def parse(**data: Any) -> TrialConfig:
    whole = {"name": "folder", "root": "mine", "size": 32} | data
    return TrialConfig.parse({"data": whole}, "here.yaml")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"layout": "animals"}, r"layout.*'animal10n', 'clothing1m', .*'red_mini_imagenet'"),
        (
            {"layout": "clothing1m", "train": "train"},
            r"train is no part .*noisy_train, clean_train",
        ),
        ({"layout": "clothing1m", "test": "noisy"}, r"test: noisy is .* clean_test, clean_val"),
        ({"layout": "red_mini_imagenet"}, r"train: has to be named; .*red_noise_nl_0.0, red_noise"),
        (
            {"layout": "food101n", "train_list": "a.txt", "test_list": "b.txt"},
            r"layout food101n and train_list: .* leave one",
        ),
    ],
)
def test_what_a_layout_has_not_is_one_message(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=rf"here.yaml: (?s:.*){problem}"):
        parse(**given)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_not_unpacked_there_is_one_message(tmp_path: Path, layout: str) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match=rf"data.train: {tmp_path}/mine/.* cannot be read"):
        Config(root=tmp_path / "mine", size=8, layout=layout, **NEEDED.get(layout, {})).load()


@pytest.mark.parametrize(
    ("layout", "file", "line", "problem"),
    [
        (
            "clothing1m",
            "noisy_train_key_list.txt",
            "images/0/77.png",
            "noisy_label_kv.txt has a lab",
        ),
        ("clothing1m", "noisy_label_kv.txt", "images/2/14.png 14", "label '14' is no class"),
        ("webvision", "info/train_filelist_google.txt", "google/a.png", "is no `path label`"),
        ("webvision", "info/val_filelist.txt", "../../x.png 0", "leads out of"),
        ("food101n", "Food-101N_release/meta/imagelist.tsv", "waffles", "is no `class/file`"),
        ("food101n", "food-101/meta/test.txt", "sushi/1", "label 'sushi' is no class"),
        ("red_mini_imagenet", "split/red_noise_nl_0.4", "none.png 1", "cannot be found"),
    ],
)
def test_a_mistake_in_a_list_is_named_with_its_place(
    load: Load, tmp_path: Path, layout: str, file: str, line: str, problem: str
) -> None:
    load(layout)
    place = tmp_path / "mine" / file
    place.write_text(place.read_text() + line + "\n")
    with pytest.raises(UserError, match=problem) as said:
        load(layout)
    assert "mine/" in str(said.value)


def test_an_animal_without_a_label_is_named(load: Load, tmp_path: Path) -> None:
    load("animal10n")
    paint(tmp_path / "mine/training/cat.png", 300)
    with pytest.raises(
        UserError, match=r"training/cat.png: its name has no label\ndata.train: mend"
    ):
        load("animal10n")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_part_of_them_can_be_drawn(load: Load, layout: str) -> None:
    whole = load(layout)
    data = load(layout, train_samples=2, train_subset="random", subset_seed=1)
    assert data.rows is not None
    assert numbers(data.x_train) == [numbers(whole.x_train)[row] for row in data.rows]

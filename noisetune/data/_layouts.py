"""Published sets with wrong labels, as their archives lay them out below one folder.

Each has parts, by the names that its authors give them, to train on and to test on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from noisetune.data._folders import read_named
from noisetune.data._listing import (
    PATH_LABEL,
    Entry,
    Listed,
    path_and_label,
    read_lines,
    read_list,
)

Reader = Callable[[Path, str], list[Listed]]
"""`read(root, field)` gives the images of a part; UserError, naming the field, where it cannot."""


@dataclass(frozen=True)
class Layout:
    """The readers of the parts to train on and to test on: of each the first is the usual one, but
    where `chosen` says that the one to train on has to be named. `classes` are names in the order
    of their labels."""

    train: Mapping[str, Reader]
    test: Mapping[str, Reader]
    classes: tuple[str, ...] | None = None
    chosen: bool = False

    def part(self, field: Literal["train", "test"], given: str | None) -> str:
        """The part that is taken where this one is given; ValueError where it is none."""
        parts = self.train if field == "train" else self.test
        if given is None and not (field == "train" and self.chosen):
            return next(iter(parts))
        if given is None or given not in parts:
            is_none = "has to be named" if given is None else f"{given} is no part of the layout"
            raise ValueError(f"{field}: {is_none}; set it to one of {', '.join(parts)}")
        return given


def _list(file: str, entry: Entry, form: str = PATH_LABEL) -> Reader:
    return lambda root, field: read_list(Path(file), root, field, entry, form)


def _named(part: str) -> Reader:
    return lambda root, field: read_named(root, part, field)


def _keys(keys: str, labels: str) -> Reader:
    """A list of paths, whose labels another one has."""

    def read(root: Path, field: str) -> list[Listed]:
        known = dict(map(path_and_label, map(str.strip, read_lines(root / labels, field))))
        form = f"path that {labels} has a label of"
        return read_list(Path(keys), root, field, lambda path: (path, known.get(path, "")), form)

    return read


def _both(first: Reader, second: Reader) -> Reader:
    return lambda root, field: [*first(root, field), *second(root, field)]


def _below(folder: str, classes: int | None, line: str) -> tuple[str, str] | None:
    """A `path label` with the path below a folder; passed over where the label is no class."""
    path, label = path_and_label(line)
    left_out = classes is not None and label.isdecimal() and int(label) >= classes
    return None if left_out else (f"{folder}{path}", label)


def _webvision(classes: int | None) -> Layout:
    google, flickr = (
        _list(f"info/train_filelist_{source}.txt", partial(_below, "", classes))
        for source in ("google", "flickr")
    )
    val = _list("info/val_filelist.txt", partial(_below, "val_images_256/", classes))
    train = {"google": google, "flickr": flickr, "google_and_flickr": _both(google, flickr)}
    return Layout(train, {"val": val})


FOOD, FOOD_HEADER = "Food-101N_release", "class_name"


def _food(line: str) -> tuple[str, str] | None:
    """A `class/file`, or one that people looked at with 1 for a right class, 0 for a wrong one."""
    path, _, verified = line.partition("\t")
    if line.startswith(FOOD_HEADER) or verified == "0":
        return None
    label = path.partition("/")[0] if "/" in path and verified in ("", "1") else ""
    return f"{FOOD}/images/{path}", label


def _food_test(line: str) -> tuple[str, str]:
    """A `class/number` of Food-101."""
    return f"food-101/images/{line}.jpg", line.partition("/")[0] if "/" in line else ""


def _validation(line: str) -> tuple[str, str]:
    path, label = path_and_label(line)
    return f"validation/{label}/{path}", label


ANIMALS = (
    "cat", "lynx", "wolf", "coyote", "cheetah", "jaguar", "chimpanzee", "orangutan", "hamster",
    "guinea pig",
)  # fmt: skip
CLOTHES = (
    "T-Shirt", "Shirt", "Knitwear", "Chiffon", "Sweater", "Hoodie", "Windbreaker", "Jacket",
    "Down Coat", "Suit", "Shawl", "Dress", "Vest", "Underwear",
)  # fmt: skip
RED_RATES = ("0.0", "0.05", "0.1", "0.15", "0.2", "0.3", "0.4", "0.5", "0.6", "0.8")

LAYOUTS = {
    "animal10n": Layout(
        train={"training": _named("training")}, test={"testing": _named("testing")}, classes=ANIMALS
    ),
    "clothing1m": Layout(
        train={
            "noisy_train": _keys("noisy_train_key_list.txt", "noisy_label_kv.txt"),
            "clean_train": _keys("clean_train_key_list.txt", "clean_label_kv.txt"),
        },
        test={
            part: _keys(f"{part}_key_list.txt", "clean_label_kv.txt")
            for part in ("clean_test", "clean_val")
        },
        classes=CLOTHES,
    ),
    "webvision": _webvision(None),
    "mini_webvision": _webvision(50),
    "food101n": Layout(
        train={
            part: _list(f"{FOOD}/meta/{part}.tsv", _food, "`class/file`")
            for part in ("imagelist", "verified_train")
        },
        test={
            "test": _list("food-101/meta/test.txt", _food_test, "`class/number`"),
            "verified_val": _list(f"{FOOD}/meta/verified_val.tsv", _food, "`class/file`"),
        },
    ),
    "red_mini_imagenet": Layout(
        train={
            f"red_noise_nl_{rate}": _list(
                f"split/red_noise_nl_{rate}", partial(_below, "all_images/", None)
            )
            for rate in RED_RATES
        },
        test={"clean_validation": _list("split/clean_validation", _validation)},
        chosen=True,
    ),
}

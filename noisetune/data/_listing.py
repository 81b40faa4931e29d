"""Which image files a data set has and how they are labelled: from class folders or from lists."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
from PIL import Image

from noisetune.errors import UserError

SHOWN = 5
"""So many mistakes are named at once."""
WHOLE_NUMBER = re.compile(r"[+-]?\d+")
LONGEST_NUMBER = 9


class Listed(NamedTuple):
    """An image file by its path under the root, its label as written, and where it is written."""

    path: str
    label: str
    where: str


def refuse(problems: Sequence[str], advice: str, more: bool = False) -> None:
    """UserError naming the first few of `problems`, where there are any.

    `more` says that not everything was looked at.
    """
    if not problems:
        return
    left = len(problems) - SHOWN
    rest = [f"... and {left} more"] * (left > 0) + ["... not all were looked at"] * more
    raise UserError("\n".join([*problems[:SHOWN], *rest, advice]))


def inside(path: str, root: Path) -> str | None:
    """`path` relative to `root`; None where it leaves it, by `..` or as an absolute path."""
    pure = PurePath(path)
    if ".." in pure.parts or "\0" in path:
        return None
    if pure.is_absolute():
        home = root.absolute()
        return pure.relative_to(home).as_posix() if pure.is_relative_to(home) else None
    return pure.as_posix()


def read_folders(root: Path, part: str, field: str) -> tuple[list[Listed], list[str]]:
    """The images of `root/part/<class>/`, and its classes in alphabetical order.

    The first image of each class comes first, then the second ones: a part of them has all
    classes. UserError where there are none.
    """
    folder = root / part
    if not folder.is_dir():
        raise UserError(
            f"{field}: {folder} is no folder; it must hold a folder of images for each class, "
            "or name train_list and test_list"
        )
    names = sorted(
        each.name for each in os.scandir(folder) if each.is_dir() and not each.name.startswith(".")
    )
    ranked = [
        (rank, Listed(path, name, os.path.join(root, path)))
        for name in names
        for rank, path in enumerate(_images(root, folder / name))
    ]
    if not ranked:
        raise UserError(f"{field}: {folder} has no images in folders of classes; put them there")
    return [listed for _, listed in sorted(ranked, key=lambda each: each[0])], names


def _images(root: Path, folder: Path) -> list[str]:
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    found = []
    for place, _, files in os.walk(folder):
        under = Path(place).relative_to(root).as_posix()
        found += [
            f"{under}/{file}"
            for file in files
            if not file.startswith(".") and os.path.splitext(file)[1].lower() in known
        ]
    return sorted(found)


def read_list(file: Path, root: Path, field: str) -> list[Listed]:
    """The images of a list: a `path label` on each line, apart by a tab or, without one, by spaces.

    UserError, with file and line, for a line of another form or a path that leaves `root`.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{field}: {file} cannot be read ({error}); it must be a text of lines `path label`"
        ) from None
    listed, problems = [], []
    for number, line in enumerate(lines, 1):
        words = line.strip().rsplit("\t" if "\t" in line.strip() else None, 1)
        where = f"{file}:{number}"
        path = inside(words[0].strip(), root) if len(words) == 2 else None
        if path is not None:
            listed.append(Listed(path, words[1].strip(), where))
        elif len(words) == 2:
            problems.append(f"{where}: {words[0].strip()} leads out of {root}")
        elif words and words[0]:
            problems.append(f"{where}: {line.strip()!r} is no `path label`")
    refuse(problems, f"{field}: mend these lines; every path is under data.root")
    if not listed:
        raise UserError(f"{field}: {file} names no image; give it lines `path label`")
    return listed


def listed_classes(listed: Sequence[Listed]) -> list[str]:
    """The classes of a list without names: 0 to its largest number, or its words in order.

    UserError for a number below 0, or so large that it can only be a mistake.
    """
    if not all(WHOLE_NUMBER.fullmatch(each.label) for each in listed):
        return sorted({each.label for each in listed})
    problems = [
        f"{each.where}: label {each.label} is out of range"
        for each in listed
        if not is_number(each.label)
    ]
    refuse(problems, "labels go from 0 to the number of classes less one; mend these")
    largest = max(listed, key=lambda each: int(each.label))
    count = max(int(largest.label) + 1, 2)
    if count > max(len(listed), 2):
        raise UserError(
            f"{largest.where}: the label {largest.label} would make more classes than there are "
            f"images ({len(listed)}); mend the label, or name the classes under data.classes"
        )
    return [str(number) for number in range(count)]


def as_numbers(listed: Sequence[Listed], classes: Sequence[str], numbers: bool) -> np.ndarray:
    """Labels int64 (N,) in 0..len(classes)-1, by name, or where `numbers`, also by number.

    UserError, with where it stands, for a label that is no class.
    """
    index = {name: number for number, name in enumerate(classes)}
    if numbers:
        given = {each.label for each in listed if is_number(each.label)}
        counted = {label: int(label) for label in given if int(label) < len(classes)}
        index = counted | index
    problems = [
        f"{each.where}: label {each.label!r} is no class"
        for each in listed
        if each.label not in index
    ]
    shown = ", ".join(classes[:SHOWN]) + (", ..." if len(classes) > SHOWN else "")
    span = f", or 0..{len(classes) - 1}" if numbers else ""
    refuse(problems, f"the classes are {shown}{span}; mend the labels, or data.classes")
    return np.array([index[each.label] for each in listed], dtype=np.int64)


def is_number(label: str) -> bool:
    return label.isdecimal() and len(label) <= LONGEST_NUMBER


def refuse_shared(train: Iterable[Listed], test: Iterable[Listed]) -> None:
    """UserError where a test image is also a training image."""
    seen = {each.path: each.where for each in train}
    problems = [
        f"{each.where}: {each.path} is a training image too ({seen[each.path]})"
        for each in test
        if each.path in seen
    ]
    refuse(problems, "data: take these images out of one of the two parts")

"""What class folders hold: images by class, at any depth, over links."""

import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from pathlib import Path, PurePath
from typing import NamedTuple

from PIL import Image

from noisetune.data._listing import SHOWN, Listed, refuse
from noisetune.errors import UserError

log = logging.getLogger(__name__)

JUNK = {
    "__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__",
    "thumbs.db", "desktop.ini",
}  # fmt: skip
"""What archivers, disks and file managers leave behind, in lower case."""


class Folders(NamedTuple):
    """What a part has: images, classes, and the files that are no images, under the root."""

    images: list[Listed]
    classes: list[str]
    left_out: list[str]


def read_folders(root: Path, part: str, field: str) -> Folders:
    """The images of `root/part/<class>/`, at any depth, and the names of all classes.

    The first image of each class comes first, then the second ones: a part of them has all
    classes. What is hidden is passed over, and so is junk; files that are left out, because their
    name is no image's, are counted in a warning. UserError where there are no images, for a folder
    that may not be read, and for one that has two classes.
    """
    folder = root / part
    if not folder.is_dir():
        raise UserError(
            f"{field}: {folder} is no folder; it must hold a folder of images for each class, "
            "or name train_list and test_list"
        )
    try:
        classes, loose = _visible(str(folder))
        files = _files_of(folder, classes)
    except OSError as error:
        raise UserError(
            f"{field}: the folder {error.filename} cannot be read ({error.strerror}); get leave to "
            "read it, or take it out"
        ) from None
    images = {name: list(filter(_is_image, found)) for name, found in files.items()}
    if not any(images.values()):
        raise UserError(f"{field}: {folder} has no images in folders of classes; put them there")
    every = chain([each.path for each in loose], *files.values())
    left_out = sorted(set(every).difference(*images.values()))
    _warn(field, left_out)
    part, start = PurePath(part).as_posix(), len(str(folder))
    listed = [
        Listed(part + file[start:], name, file) for name, found in images.items() for file in found
    ]
    return Folders(
        in_turn(listed),
        list(files),
        [part + file[start:] for file in left_out],
    )


def read_named(root: Path, part: str, field: str) -> list[Listed]:
    """The images in the folder `root/part` whose names begin with a label and an underscore.

    They come in turn, as those of class folders. UserError where there are none, or another one.
    """
    folder = root / part
    try:
        files = [each.name for each in _visible(str(folder))[1] if _is_image(each.name)]
    except OSError as error:
        raise UserError(f"{field}: {folder} cannot be read ({error.strerror})") from None
    refuse(
        [f"{folder / name}: its name has no label" for name in files if not _label(name)],
        f"{field}: mend these names, or take the files out",
    )
    if not files:
        raise UserError(f"{field}: {folder} has no images; put them there")
    return in_turn([Listed(f"{part}/{name}", _label(name), str(folder / name)) for name in files])


def read_loose(folder: Path, field: str) -> list[str]:
    """The paths of all images below a folder, at any depth, in order; links to folders are not
    followed. What is hidden, junk, or no image by its name is passed over.

    UserError where there are none, and for a folder that may not be read.
    """
    files = list[str]()
    left = [os.path.abspath(folder)]
    try:
        while left:
            folders, found = _visible(left.pop())
            left += [each.path for each in folders if not each.is_symlink()]
            files += [each.path for each in found if _is_image(each.name)]
    except OSError as error:
        raise UserError(
            f"{field}: the folder {error.filename} cannot be read ({error.strerror}); give one of "
            "images"
        ) from None
    if not files:
        raise UserError(f"{field}: {folder} has no images; put some there, or leave the field out")
    return sorted(files)


def _label(name: str) -> str:
    return name.partition("_")[0] if "_" in name else ""


def in_turn(images: Sequence[Listed]) -> list[Listed]:
    """The first image of each label, then the second ones: a part of them has all labels."""
    seen = Counter[str]()
    ranks = []
    for each in images:
        ranks.append(seen[each.label])
        seen[each.label] += 1
    return [images[place] for place in sorted(range(len(images)), key=ranks.__getitem__)]


def _files_of(folder: Path, classes: Iterable[os.DirEntry[str]]) -> dict[str, list[str]]:
    """The visible files of each class, by its name in one writing of accents (NFC)."""
    files = dict[str, list[str]]()
    owners = dict[str, tuple[str, str]]()
    for each in classes:
        name = unicodedata.normalize("NFC", each.name)
        files.setdefault(name, []).extend(_walk(each, name, os.path.realpath(folder), owners))
    return {name: sorted(found) for name, found in files.items()}


def _walk(
    folder: os.DirEntry[str], name: str, part: str, owners: dict[str, tuple[str, str]]
) -> Iterator[str]:
    """The visible files below a folder of class `name`.

    Links are followed, each real folder once, and none to a folder above it or above `part`, so
    that a loop ends. `owners` has the class and the path of each real folder that was read.
    """
    left = [(folder.path, os.path.realpath(folder.path))]
    while left:
        place, real = left.pop()
        if _above(real, part):
            continue
        owner, first = owners.setdefault(real, (name, place))
        if owner != name:
            raise UserError(
                f"data: {first} and {place} are one folder: its images would have two classes; "
                "take one of the two out"
            )
        if first != place:
            continue
        folders, files = _visible(place)
        yield from (each.path for each in files)
        # The last is looked at first: folders themselves before links to them.
        for each in sorted(folders, key=lambda each: (not each.is_symlink(), each.name)):
            if not each.is_symlink():
                left.append((each.path, f"{real}/{each.name}"))
            elif not _above(target := os.path.realpath(each.path), real):
                left.append((each.path, target))


def _above(target: str, folder: str) -> bool:
    """Whether the real folder `target` is the other one, or one that it lies in."""
    return PurePath(folder).is_relative_to(target)


def _visible(folder: str) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    """Folders and files in a folder, by name, without what is hidden and junk."""
    folders, files = list[os.DirEntry[str]](), list[os.DirEntry[str]]()
    with os.scandir(folder) as entries:
        for each in sorted(entries, key=lambda each: each.name):
            if not each.name.startswith(".") and each.name.lower() not in JUNK:
                (folders if _is_folder(each) else files).append(each)
    return folders, files


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


@cache
def _suffixes() -> frozenset[str]:
    known = Image.registered_extensions().items()
    return frozenset(suffix for suffix, kind in known if kind in Image.OPEN)


def _is_image(file: str) -> bool:
    return os.path.splitext(file)[1].lower() in _suffixes()


def _warn(field: str, left_out: list[str]) -> None:
    if left_out:
        more = ", ..." if len(left_out) > SHOWN else ""
        log.warning(
            "%s: files left out, whose names are no image's: %d (%s%s)",
            field, len(left_out), ", ".join(left_out[:SHOWN]), more,
        )  # fmt: skip

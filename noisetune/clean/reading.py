"""DATA, whatever it is, as one `Source`."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from noisetune.arrays import UNREADABLE, Archive
from noisetune.clean.arrow import is_saved, read_saved
from noisetune.clean.lists import SUFFIXES, read_list
from noisetune.clean.source import Source
from noisetune.data._folders import read_folders
from noisetune.data.base import as_images, as_labels
from noisetune.errors import UserError
from noisetune.memory import require_memory

PAIRS = (("x_train", "y_train"), ("x_test", "y_test"), ("images", "labels"), ("x", "y"))
PARTS = {"train", "training", "test", "testing", "val", "valid", "validation"}
"""Folders of these names, and no others, are parts of a data set, and no classes."""
NO_IMAGE = "its name is no image's"


def read_source(data: Path) -> Source:
    """The images and labels of a folder of class folders, a list, a folder with one, an .npz
    archive, or a data set of Hugging Face on disk; UserError for anything else.

    What is there is only read.
    """
    if data.suffix == ".npz" and data.is_file():
        return _read_archive(data)
    if data.is_file() and data.suffix.lower() in SUFFIXES:
        return read_list(data)
    if not data.is_dir():
        raise UserError(
            f"DATA {data}: is no folder, .npz archive or CSV; give class folders of images, a "
            "folder with a CSV of path and label, or an archive of images and labels"
        )
    if is_saved(data):
        return read_saved(data)
    lists = sorted(each for each in data.iterdir() if each.suffix.lower() in SUFFIXES)
    if len(lists) > 1:
        raise UserError(
            f"DATA {data}: has {len(lists)} lists ({', '.join(each.name for each in lists)}); give "
            "the path of the one with the labels"
        )
    return read_list(lists[0]) if lists else _read_folders(data)


def _read_folders(data: Path) -> Source:
    names = {each.name for each in data.iterdir() if each.is_dir() and each.name[0] != "."}
    parts = sorted(names) if names and {name.lower() for name in names} <= PARTS else []
    read = [read_folders(data, part, "DATA") for part in parts or ["."]]
    images = [image for folders in read for image in folders.images]
    paths = [os.path.normpath(each.path) for each in images]
    left_out = [os.path.normpath(each) for folders in read for each in folders.left_out]
    return Source(
        data,
        "folders",
        paths,
        [each.label for each in images],
        [os.path.abspath(each.where) for each in images],
        parts=[path.partition(os.sep)[0] for path in paths] if parts else None,
        left_out=[(path, NO_IMAGE) for path in left_out],
    )


def _read_archive(data: Path) -> Source:
    try:
        with Archive(data) as archive:
            pairs = [pair for pair in PAIRS if set(pair) <= set(archive.names)]
            if not pairs:
                raise UserError(
                    f"DATA {data}: has the arrays {', '.join(archive.names) or 'none'}; images and "
                    "labels are needed as x_train and y_train, images and labels, or x and y"
                )
            sizes = sum(archive.size(name, None) for pair in pairs for name in pair)
            require_memory(2 * sizes, f"DATA {data}: its images and labels")
            read = [[archive.read(name, None) for name in pair] for pair in pairs]
    except UNREADABLE as error:
        raise UserError(
            f"DATA {data}: is no readable .npz archive of plain arrays ({error}); write it with "
            "numpy.savez"
        ) from error
    return _of_arrays(data, pairs, read)


def _of_arrays(
    data: Path, pairs: Sequence[tuple[str, str]], read: Sequence[Sequence[np.ndarray]]
) -> Source:
    paths, labels, parts, images = list[str](), list[str](), list[str](), list[np.ndarray]()
    for (x, y), (pixels, given) in zip(pairs, read, strict=True):
        stack = as_images(pixels, f"DATA {data}: {x}").numpy().transpose(0, 2, 3, 1)
        numbers = as_labels(given, len(stack), None, f"DATA {data}: {y}").tolist()
        images.append(stack)
        labels += map(str, numbers)
        paths += [f"{x}[{row}]" for row in range(len(stack))]
        parts += [x.removeprefix("x_")] * len(stack)
    if len({stack.shape[1:] for stack in images}) > 1:
        raise UserError(f"DATA {data}: its parts have images of different shapes; make them equal")
    whole = images[0] if len(images) == 1 else np.concatenate(images)
    return Source(data, "npz", paths, labels, arrays=whole, parts=parts if pairs[1:] else None)

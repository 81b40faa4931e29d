"""Image files and their labels as a list names them, and mistakes in it, the first few of many."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from noisetune.errors import UserError

SHOWN = 5
"""So many mistakes are named at once."""
QUOTES = "\"'"


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


def plain(label: str) -> str:
    """A label without blanks and quotes around it, its accents in one writing (NFC)."""
    label = unicodedata.normalize("NFC", label).strip()
    while len(label) > 1 and label[0] == label[-1] and label[0] in QUOTES:
        label = label[1:-1].strip()
    return label


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
        label = plain(words[1]) if len(words) == 2 else ""
        path = inside(words[0].strip(), root) if label else None
        if path is not None:
            listed.append(Listed(path, label, where))
        elif label:
            problems.append(f"{where}: {words[0].strip()} leads out of {root}")
        elif words and words[0]:
            problems.append(f"{where}: {line.strip()!r} is no `path label`")
    refuse(problems, f"{field}: mend these lines; every path is under data.root")
    if not listed:
        raise UserError(f"{field}: {file} names no image; give it lines `path label`")
    return listed

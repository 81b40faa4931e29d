"""Image files and their labels as a list names them, and mistakes in it, the first few of many."""

import errno
import os
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from noisetune.errors import UserError
from noisetune.memory import require_memory
from noisetune.texts import counted

SHOWN = 5
"""So many mistakes are named at once."""
TEXT_COPIES = 10
"""A list is held as its text, its lines, and what they name."""
QUOTES = "\"'"
PATH_LABEL = "`path label`"
Entry = Callable[[str], tuple[str, str] | None]
"""What a line names, as path and label; an empty label where it is of another form, None for a line
that is passed over."""


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


def path_and_label(line: str) -> tuple[str, str]:
    """Both, apart by a tab or, without one, by spaces."""
    words = line.rsplit("\t" if "\t" in line else None, 1)
    return (words[0].strip(), words[1]) if len(words) == 2 else (line, "")


def read_list(
    name: Path,
    root: Path,
    field: str,
    entry: Entry = path_and_label,
    form: str = PATH_LABEL,
) -> list[Listed]:
    """The images of a list, of which `entry` reads a line; `form` says in words what it takes.

    UserError for a list that is not in `root`, or of which no line names a file there: of that
    nothing is shown, since it may be anything. Otherwise UserError, with file and line, for a line
    of another form or a path that leaves `root`.
    """
    place = inside(str(name), root)
    if place is None:
        raise UserError(
            f"{field}: {name} leads out of {root}; a list lies below data.root: put it, or a link "
            "to it, there"
        )
    file = root / place
    listed, problems = _parsed(read_lines(file, field, form), file, root, entry, form)
    if (listed or problems) and not any(os.path.isfile(root / each.path) for each in listed):
        lines = counted(len(listed) + len(problems), "line")
        raise UserError(
            f"{field}: {file} is no list of images in {root}: of {lines} none is the {form} "
            f"of a file there, and {len(problems)} are of another form or lead out of it; mend the "
            "list, or data.root"
        )
    refuse(problems, f"{field}: mend these lines; every path is under data.root")
    if not listed:
        raise UserError(f"{field}: {file} names no image; give it lines of {form}")
    return listed


def read_lines(file: Path, field: str, form: str = PATH_LABEL) -> list[str]:
    """The lines of a text; UserError where it cannot be read, or would take too much memory."""
    try:
        size = file.stat().st_size
        if not file.is_file():
            raise OSError(errno.EINVAL, "it is no file")
        require_memory(TEXT_COPIES * size, f"{field}: {file}")
        return file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise UserError(
            f"{field}: {file} cannot be read ({error}); it must be a text of lines {form}"
        ) from None


def _parsed(
    lines: Sequence[str], file: Path, root: Path, entry: Entry, form: str
) -> tuple[list[Listed], list[str]]:
    """What the lines of a list name, and what is wrong with the others."""
    listed, problems = list[Listed](), list[str]()
    for number, line in enumerate(map(str.strip, lines), 1):
        found = entry(line) if line else None
        if found is None:
            continue
        where, label = f"{file}:{number}", plain(found[1])
        path = inside(found[0], root) if label else None
        if path is not None:
            listed.append(Listed(path, label, where))
        elif label:
            problems.append(f"{where}: {found[0]} leads out of {root}")
        else:
            problems.append(f"{where}: {line!r} is no {form}")
    return listed, problems

"""A CSV of image and label, as spreadsheets and programs write it."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from noisetune.clean.source import Source
from noisetune.data._listing import TEXT_COPIES, inside, plain, refuse
from noisetune.errors import UserError
from noisetune.files import refused
from noisetune.memory import require_memory

SUFFIXES = (".csv", ".tsv")
DELIMITERS = ",;\t"
PATHS = ("path", "file", "filename", "file_name", "image", "image_path", "filepath", "name")
LABELS = ("label", "class", "target", "given", "category", "y")
Row = tuple[int, list[str]]


def read_list(file: Path) -> Source:
    """The images that a list names, by paths relative to its folder.

    Values are apart by commas, semicolons or tabs, with or without quotes, a header and a byte
    order mark. UserError, with file and line, for a row that names no file in the folder or has no
    label; of a file that names none at all nothing is shown, since it may be anything.
    """
    rows = read_rows(file)
    path, label, header = _columns(rows, file)
    wide = max(path, label)
    paths, labels, problems = list[str](), list[str](), list[str]()
    for number, row in rows[header:]:
        where = f"{file}:{number}"
        name = inside(row[path].strip(), file.parent) if len(row) > wide else None
        if len(row) <= wide or not plain(row[label]):
            problems.append(f"{where}: has no path and label")
        elif name is None:
            problems.append(f"{where}: {row[path]} leads out of {file.parent}")
        else:
            paths.append(name)
            labels.append(plain(row[label]))
    refuse(problems, f"DATA {file}: mend these rows; paths are under {file.parent}")
    if not paths:
        raise UserError(f"DATA {file}: names no image; give it rows of path and label")
    _refuse_twice(paths, file)
    files = [os.path.join(os.path.abspath(file.parent), each) for each in paths]
    return Source(file, "list", paths, labels, files)


def read_rows(file: Path) -> list[Row]:
    """The rows of a CSV that are not empty, each with its line; UserError where there is none."""
    with refused("file", file, "be read as CSV", "give a text of rows"):
        require_memory(TEXT_COPIES * file.stat().st_size, f"file {file}")
        text = file.read_text(encoding="utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max(DELIMITERS, key=first.count)
        reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
        try:
            return [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
        except csv.Error as error:
            raise ValueError(f"line {reader.line_num}: {error}") from None


def _columns(rows: Sequence[Row], file: Path) -> tuple[int, int, int]:
    """Where path and label stand in a row, and how many rows the header takes."""

    def places(row: list[str]) -> list[int]:
        names = (inside(each.strip(), file.parent) for each in row)
        return [at for at, name in enumerate(names) if name and (file.parent / name).is_file()]

    found = next((at for _, row in rows for at in places(row)), None)
    if found is None:
        raise UserError(
            f"DATA {file}: not one of its {len(rows)} rows names a file in {file.parent}; give "
            "rows of path and label, the paths relative to the list's folder"
        )
    first = [each.strip().lower() for each in rows[0][1]]
    header = not places(rows[0][1]) and (len(rows) > 1 or first[0] in PATHS)
    named = [at for at, name in enumerate(first) if name in LABELS and at != found]
    others = [at for at in range(len(first)) if at != found]
    if not others:
        raise UserError(f"DATA {file}: its rows have one value each; give path and label")
    return found, (named if header and named else others)[0], int(header)


def _refuse_twice(paths: Sequence[str], file: Path) -> None:
    seen, twice = set[str](), list[str]()
    for path in paths:
        (twice.append(f"{file}: {path} is named twice") if path in seen else seen.add(path))
    refuse(twice, "DATA: an image has one label; take one of the rows out")

"""What becomes of the labels: a person's decisions, or the probability's, as a list or as links."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from noisetune.clean.findings import DECISIONS, Findings
from noisetune.clean.folder import check_place
from noisetune.clean.lists import read_rows
from noisetune.clean.source import Source
from noisetune.data._listing import plain, refuse
from noisetune.errors import UserError
from noisetune.files import make_folder, refused, write_output
from noisetune.texts import csv_text

LABELS, CHANGES, LINKS = "labels.csv", "changes.csv", "images"
HALF = 0.5
REMOVED = None
Decisions = Mapping[str, str | None]
"""By path: the label that an image gets, or REMOVED."""


@dataclass(frozen=True)
class Changes:
    """How many labels were kept, changed and removed."""

    kept: int
    relabelled: int
    removed: int

    def __str__(self) -> str:
        return f"{self.kept} kept, {self.relabelled} relabelled, {self.removed} removed"


def reviewed(file: Path, source: Source) -> Decisions:
    """The decisions of a list as issues.csv is: in a row one of `keep` (a mark), `relabel` (the
    right class) and `remove` (a mark), or none, which keeps the label.

    UserError for rows that are not of these data, that decide twice, or name an unknown class.
    """
    (_, head), *rows = read_rows(file) or [(0, [])]
    names = [each.strip().lower() for each in head]
    missing = [name for name in ("path", *DECISIONS) if name not in names]
    if missing:
        raise UserError(
            f"--apply {file}: has no column {', '.join(missing)}; give issues.csv with the columns "
            f"{', '.join(DECISIONS)} filled in"
        )
    given = dict(zip(source.paths, source.labels, strict=True))
    decided, problems = dict[str, str | None](), list[str]()
    for number, row in rows:
        values = dict(zip(names, row, strict=False))
        path, marks = values["path"], [values.get(name, "").strip() for name in DECISIONS]
        fault = _fault(values, marks, given, source, path in decided)
        if fault:
            problems.append(f"{file}:{number}: {fault}")
        elif any(marks):
            decided[path] = REMOVED if marks[2] else plain(marks[1]) if marks[1] else given[path]
    refuse(problems, "--apply: mend these rows; nothing was written")
    return decided


def _fault(
    values: Mapping[str, str],
    marks: Sequence[str],
    given: Mapping[str, str],
    source: Source,
    again: bool,
) -> str | None:
    """What is wrong with a row."""
    path = values["path"]
    if path not in given:
        return f"{path!r} is no image of DATA {source.root}"
    if "given" in values and plain(values["given"]) != given[path]:
        return f"{path} was labelled {values['given']!r}, and is {given[path]!r} in DATA"
    if sum(map(bool, marks)) > 1 or again:
        return f"{path} is decided twice; fill in one of {', '.join(DECISIONS)}"
    if marks[1] and plain(marks[1]) not in source.classes:
        return f"{path}: relabel: {marks[1]!r} is no class of DATA"
    return None


def proposed(found: Findings) -> Decisions:
    """What the probability decides by itself: of labels that are rather wrong than right, a class
    that is rather right than wrong takes the place, and without one the image is removed.

    UserError where there is a ranking only.
    """
    verdicts = found.verdicts
    if verdicts.probability is None or verdicts.suggested_probability is None:
        raise UserError(
            "--write: this is a ranking only, which decides nothing by itself; fill in the columns "
            f"{', '.join(DECISIONS)} of issues.csv, and give it by --apply"
        )
    return {
        found.paths[row]: found.suggested(row)
        if verdicts.suggested_probability[row] > HALF
        else REMOVED
        for row in (verdicts.probability > HALF).nonzero()[0].tolist()
    }


def write_cleaned(folder: Path, source: Source, decided: Decisions) -> Changes:
    """Write the labels as a list, what changed as another, and of class folders a tree of links.

    UserError for a folder that is not empty, or lies in the data, before anything is written.
    """
    check_target(folder, source.root)
    make_folder(folder, "--write")
    rows = [
        (path, label, decided.get(path, label))
        for path, label in zip(source.paths, source.labels, strict=True)
    ]
    kept = [(path, new) for path, _, new in rows if new is not REMOVED]
    changed = [(path, old, new or "") for path, old, new in rows if new != old]
    write_output(folder / LABELS, csv_text([("path", "label"), *kept]), "--write")
    write_output(folder / CHANGES, csv_text([("path", "given", "label"), *changed]), "--write")
    if source.kind == "folders":
        _link(folder / LINKS, source, decided)
    counts = Counter("removed" if not new else "relabelled" for _, _, new in changed)
    return Changes(len(rows) - len(changed), counts["relabelled"], counts["removed"])


def check_target(folder: Path, data: Path) -> None:
    """UserError where the cleaned labels cannot be written to a folder."""
    check_place(folder, data)
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"--write {folder}: is not empty; give a folder that is, or is not there")


def _link(folder: Path, source: Source, decided: Decisions) -> None:
    """A link to each image that is kept, in a folder of its class, by its path in one name; where
    the data have parts, in the folder of its part."""
    for row, path in enumerate(source.paths):
        label = decided.get(path, source.labels[row])
        if label is REMOVED:
            continue
        home = folder / source.parts[row] if source.parts else folder
        with refused("--write", folder, "hold a link", "give a folder on a disk that takes them"):
            (home / label).mkdir(parents=True, exist_ok=True)
            os.symlink(os.path.realpath(source.files[row]), home / label / _name(path))


def _name(path: str) -> str:
    # No two paths have one name.
    return path.replace("_", "__").replace("/", "_-")

"""The folder that a run of `noisetune clean` leaves, and whose it is."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from noisetune.clean.source import Source
from noisetune.errors import UserError
from noisetune.files import make_folder, replace_file

BEGUN, CONFIG = "begun.json", "config.yaml"
ISSUES, PAGE, NOISE = "issues.csv", "page.html", "noise.json"


def identity(source: Source, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What tells a run from others: its data, and what was asked for."""
    digest = hashlib.sha256()
    for path, label in zip(source.paths, source.labels, strict=True):
        digest.update(f"{path}\0{label}\n".encode(errors="surrogateescape"))
    return {
        "data": os.path.realpath(source.root),
        "images": len(source),
        "labels": digest.hexdigest(),
        "asked": dict(asked),
    }


def check_place(folder: Path, data: Path) -> None:
    """UserError where a folder that is written would lie in the data, or is a file."""
    home = Path(os.path.realpath(data))
    place = Path(os.path.realpath(folder))
    if place == home or (home.is_dir() and place.is_relative_to(home)):
        raise UserError(
            f"{folder}: lies in DATA {data}, which is never written to; give a folder beside it"
        )
    if place.exists() and not place.is_dir():
        raise UserError(f"{folder}: is a file; give a folder that is empty or not there yet")


def is_begun(folder: Path, known: Mapping[str, Any]) -> bool:
    """Whether the folder holds a run of this identity; UserError where it holds anything else."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return False
    try:
        before = json.loads((folder / BEGUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(
            f"--out {folder}: is not empty, and no run of `noisetune clean` began it; give a "
            "folder that is empty or not there yet"
        ) from None
    if before == known:
        return True
    same = isinstance(before, dict) and before.get("data") == known["data"]
    what = "with other labels or settings" if same else "on other data"
    raise UserError(
        f"--out {folder}: was begun {what}; give another folder, or what it was begun with"
    )


def begin(folder: Path, known: Mapping[str, Any]) -> None:
    """Make the folder, and note whose it is."""
    make_folder(folder, "--out")
    replace_file(folder / BEGUN, (json.dumps(known, indent=1) + "\n").encode())

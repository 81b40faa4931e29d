"""A person's decisions are taken back, and written beside the data."""

import csv
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from noisetune.clean.decisions import Changes, reviewed, write_cleaned
from noisetune.clean.reading import read_source
from noisetune.clean.source import Source
from noisetune.errors import UserError

HEAD = "path,given,keep,relabel,remove\n"


@pytest.fixture
def source(tmp_path: Path, make_folders: Callable[..., Path]) -> Source:
    return read_source(make_folders(tmp_path / "data", 2))


def decide(folder: Path, rows: str, head: str = HEAD) -> Path:
    file = folder / "reviewed.csv"
    file.write_text(head + rows)
    return file


def test_decisions_become_a_list_and_links(tmp_path: Path, source: Source) -> None:
    rows = "upright/0.png,upright,,flat,\nflat/1.png,flat,,,x\nflat/3.png,flat,x,,\n"
    changes = write_cleaned(tmp_path / "cleaned", source, reviewed(decide(tmp_path, rows), source))
    assert changes == Changes(kept=2, relabelled=1, removed=1)
    with (tmp_path / "cleaned" / "labels.csv").open() as file:
        written = {row["path"]: row["label"] for row in csv.DictReader(file)}
    assert written == {"upright/0.png": "flat", "upright/2.png": "upright", "flat/3.png": "flat"}
    links = sorted((tmp_path / "cleaned" / "images").rglob("*.png"))
    assert {(link.parent.name, os.path.realpath(link)) for link in links} == {
        (written[path], os.path.realpath(tmp_path / "data" / path)) for path in written
    }
    changed = (tmp_path / "cleaned" / "changes.csv").read_text().splitlines()
    assert changed[0] == "path,given,label"
    assert set(changed[1:]) == {"upright/0.png,upright,flat", "flat/1.png,flat,"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("elsewhere.png,flat,x,,\n", "is no image of DATA"),
        ("flat/1.png,upright,x,,\n", "was labelled 'upright', and is 'flat'"),
        ("flat/1.png,flat,x,,x\n", "is decided twice"),
        ("flat/1.png,flat,x,,\nflat/1.png,flat,,,x\n", "is decided twice"),
        ("flat/1.png,flat,,round,\n", "'round' is no class"),
    ],
)
def test_a_row_that_will_not_do_is_refused(
    tmp_path: Path, source: Source, rows: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        reviewed(decide(tmp_path, rows), source)


def test_a_list_without_the_columns(tmp_path: Path, source: Source) -> None:
    with pytest.raises(UserError, match="has no column keep, relabel, remove"):
        reviewed(decide(tmp_path, "flat/1.png\n", "path\n"), source)


@pytest.mark.parametrize("place", ["data/cleaned", "full"])
def test_a_folder_that_is_not_free(tmp_path: Path, source: Source, place: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match=r"lies in DATA|is not empty"):
        write_cleaned(tmp_path / place, source, {})
    assert not (tmp_path / "data" / "cleaned").exists()
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"

"""DATA in each of its forms gives paths and labels."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.clean.lists import read_list
from noisetune.clean.reading import read_source
from noisetune.clean.source import Source, require_classes
from noisetune.errors import UserError


def pairs(source: Source) -> set[tuple[str, str]]:
    return set(zip(source.paths, source.labels, strict=True))


def test_class_folders(tmp_path: Path, make_folders: Callable[..., Path]) -> None:
    data = make_folders(tmp_path / "data", 2)
    (data / "flat" / "notes.txt").write_text("x")
    source = read_source(data)
    assert pairs(source) == {
        ("upright/0.png", "upright"),
        ("upright/2.png", "upright"),
        ("flat/1.png", "flat"),
        ("flat/3.png", "flat"),
    }
    assert source.left_out == [("flat/notes.txt", "its name is no image's")]


def test_parts_of_class_folders(tmp_path: Path, make_folders: Callable[..., Path]) -> None:
    for part in ("train", "test"):
        make_folders(tmp_path / "data" / part, 1)
    source = read_source(tmp_path / "data")
    assert source.classes == ("flat", "upright")
    assert dict(zip(source.paths, source.parts or (), strict=True)) == {
        "train/upright/0.png": "train",
        "train/flat/1.png": "train",
        "test/upright/0.png": "test",
        "test/flat/1.png": "test",
    }


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listed")
    for name in ("a b.png", "c,d.png"):
        (folder / name).write_bytes(b"")
    return folder


@given(
    delimiter=st.sampled_from(",;\t"),
    header=st.sampled_from([None, ("path", "label"), ("class", "file")]),
    bom=st.booleans(),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_a_list_however_it_is_written(
    listed: Path, delimiter: str, header: tuple[str, str] | None, bom: bool, quoting: int
) -> None:
    rows = [("a b.png", "cat"), ("c,d.png", "dog; wild")]
    turned = header is not None and header[0] == "class"
    file = listed / "labels.csv"
    with file.open("w", encoding="utf-8-sig" if bom else "utf-8", newline="") as text:
        writer = csv.writer(text, delimiter=delimiter, quoting=quoting)
        writer.writerows([*([header] if header else []), *(r[::-1] if turned else r for r in rows)])
    assert pairs(read_source(listed)) == set(rows)
    assert pairs(read_list(file)) == set(rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\nnone.png,cat\n", "not one of its 2 rows names a file"),
        ("a b.png,cat\n../x.png,dog\n", "labels.csv:2: ../x.png leads out"),
        ("a b.png,cat\nc\n", "labels.csv:2: has no path and label"),
        ("a b.png,cat\na b.png,dog\n", "a b.png is named twice"),
        ('a b.png,"cat\n', "labels.csv"),
    ],
)
def test_a_list_with_a_mistake(listed: Path, text: str, message: str) -> None:
    (listed / "labels.csv").write_text(text)
    with pytest.raises(UserError, match=r"labels\.csv|named twice") as error:
        read_source(listed)
    assert message in str(error.value)


def test_an_archive(tmp_path: Path) -> None:
    images = np.arange(4 * 8 * 8, dtype=np.uint8).reshape(4, 8, 8)
    np.savez(tmp_path / "mine.npz", images=images, labels=[0, 1, 0, 1])
    source = read_source(tmp_path / "mine.npz")
    assert pairs(source) == {
        ("images[0]", "0"), ("images[1]", "1"), ("images[2]", "0"), ("images[3]", "1")
    }  # fmt: skip
    assert np.array_equal(np.asarray(source.arrays)[..., 0], images)


def test_an_archive_of_something_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", a=[1], b=[2])
    with pytest.raises(UserError, match="has the arrays a, b"):
        read_source(tmp_path / "mine.npz")


def test_a_saved_data_set_of_hugging_face(tmp_path: Path) -> None:
    """As `save_to_disk` lays one out."""
    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    table = arrow.table(
        {
            "image": arrow.array([{"bytes": b"x", "path": "x.png"}] * 2, image),
            "label": arrow.array([1, 0], arrow.int64()),
        }
    )
    place = str(tmp_path / "data-00000-of-00001.arrow")
    with arrow.OSFile(place, "wb") as file, arrow.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    features = {
        "image": {"_type": "Image"},
        "label": {"names": ["cat", "dog"], "_type": "ClassLabel"},
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": features}))
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    (tmp_path / "state.json").write_text(json.dumps(state))
    source = read_source(tmp_path)
    assert source.labels == ["dog", "cat"]
    assert list(source.encoded) == [b"x", b"x"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["cat"] * 4, "the one label 'cat'"),
        (["1.5", "2.5", "3.5", "4.5"], "these are no classes"),
        ([], "not one image can be read"),
    ],
)
def test_labels_of_which_none_can_be_wrong(labels: list[str], message: str) -> None:
    source = Source(Path("data"), "folders", [str(n) for n, _ in enumerate(labels)], labels)
    with pytest.raises(UserError, match=message):
        require_classes(source)


def test_numbers_are_in_their_order() -> None:
    assert Source(Path("data"), "npz", ["a", "b", "c"], ["10", "9", "10"]).classes == ("9", "10")


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        read_source(tmp_path / "nothing")

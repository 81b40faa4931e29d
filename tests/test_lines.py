import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from damage import damaged, records
from hypothesis import example, given, settings
from hypothesis import strategies as st

from noisetune.errors import UserError
from noisetune.lines import append_lines, cut_damaged_end, keep_whole_lines, read_lines
from noisetune.store import LeaseLost

REMEDY = "do this"
Records = list[dict[str, Any]]


@contextmanager
def written(content: Records) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "lines"
        for record in content:
            append_lines(file, [record])
        yield file


def read(file: Path) -> tuple[Records, UserError | None]:
    """All that is read, and what was said in the end."""
    found = []
    try:
        for _, record in read_lines(file, REMEDY):
            found.append(record)
    except UserError as error:
        return found, error
    return found, None


def aside(file: Path) -> list[bytes]:
    return [each.read_bytes() for each in sorted(file.parent.glob("lines.damaged-*"))]


@given(records)
def test_what_is_written_is_read(content: Records) -> None:
    with written(content) as file:
        assert read(file) == (content, None)
        again = file.with_name("again")
        append_lines(again, content)
        assert again.read_bytes() == file.read_bytes()
        assert [json.loads(line) | {"checksum": 0} for line in file.open()] == [
            each | {"checksum": 0} for each in content
        ]


@pytest.mark.parametrize("beginning", [b"\\u001", b" " * 14])
def test_a_seal_whose_name_and_beginning_are_damaged_is_no_content(
    tmp_path: Path, beginning: bytes
) -> None:
    """What is left of it is a string of a line that has no seal."""
    append_lines(tmp_path / "lines", [{"key": "value"}])
    whole = (tmp_path / "lines").read_bytes()
    damaged = whole.replace(b'","checksum":"', beginning)
    assert json.loads(damaged).keys() == {"key"}
    (tmp_path / "lines").write_bytes(damaged)
    assert read(tmp_path / "lines")[0] == []


@pytest.mark.parametrize("record", [{}, {"key": "value", "": 0}])
def test_a_byte_too_few_or_a_comma_too_many_is_damage(tmp_path: Path, record: Any) -> None:
    """The comma before the seal is in no checksum."""
    file = tmp_path / "lines"
    append_lines(file, [record])
    whole = file.read_bytes()
    fewer = [whole[:place] + whole[place + 1 :] for place in range(len(whole))]
    more = [whole[:place] + b"," + whole[place:] for place in range(len(whole))]
    for damage in fewer + more:
        file.write_bytes(damage)
        assert read(file)[0] == [], damage


@settings(max_examples=150)
@given(records, st.data())
def test_damage_anywhere_is_seen(content: Records, data: st.DataObject) -> None:
    """What stands before it is read, and nothing else; within the file it is one message."""
    with written(content) as file:
        whole = file.read_bytes()
        new, place = data.draw(damaged(whole))
        file.write_bytes(new)
        before = whole[:place].count(b"\n")
        found, error = read(file)
        assert found == content[: len(found)]
        assert len(found) >= before
        assert file.read_bytes() == new
        if error is not None:
            line = re.match(re.escape(str(file)) + r" line (\d+)", str(error))
            assert line is not None
            assert (int(line[1]), str(error).endswith(REMEDY)) == (len(found) + 1, True)
            with pytest.raises(UserError):
                cut_damaged_end(file, REMEDY)
            assert (file.read_bytes(), aside(file)) == (new, [])
        else:
            cut_damaged_end(file, REMEDY)
            kept = file.read_bytes()
            assert whole.startswith(kept)
            assert b"".join([kept, *aside(file)]) == new
            append_lines(file, [{"after": 1}])
            assert read(file) == ([*found, {"after": 1}], None)


@given(records, st.data())
def test_lines_of_an_earlier_version_are_taken(content: Records, data: st.DataObject) -> None:
    """Also between others; damage to them is a message or another object, and no traceback."""
    content = [each | {"made": 1.5} for each in content]
    with written(content) as file:
        with file.open("a") as old:
            old.writelines(json.dumps(each, separators=(",", ":")) + "\n" for each in content)
        append_lines(file, content)
        assert read(file) == (content * 3, None)
        file.write_bytes(data.draw(damaged(file.read_bytes()))[0])
        assert all(isinstance(each, dict) for each in read(file)[0])


@example([{"n": 1}, {"n": 2}, {"n": 3}], 1)
@given(records, st.integers(0, 5))
def test_whole_lines_are_kept_beside_a_copy_of_all(content: Records, place: int) -> None:
    with written(content) as file:
        lines = file.read_bytes().splitlines(True)
        place %= len(lines)
        lines[place] = lines[place].replace(b"}", b"]")
        file.write_bytes(b"".join(lines))
        keep_whole_lines(file, REMEDY)
        assert read(file) == ([*content[:place], *content[place + 1 :]], None)
        assert aside(file) == [b"".join(lines)]


def test_a_lost_line_is_missed(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    append_lines(file, [{"n": 0}, {"n": 1}, {"n": 2}])
    first, _, last = file.read_bytes().splitlines(True)
    file.write_bytes(first + last)
    found, error = read(file)
    assert found == [{"n": 0}]
    assert str(error) == f"{file} line 2: lines before it are missing; {REMEDY}"


def test_a_line_that_is_being_written_is_not_read_and_not_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "lines"
    append_lines(file, [{"n": 0}, {"n": 1}])
    file.write_bytes(file.read_bytes()[:-3])
    assert read(file) == ([{"n": 0}], None)
    assert caplog.messages == []


def test_a_damaged_last_line_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "lines"
    append_lines(file, [{"n": 0}, {"n": 1}])
    file.write_bytes(file.read_bytes().replace(b'"n":1', b'"n":2'))
    assert read(file) == ([{"n": 0}], None)
    cut_damaged_end(file, REMEDY)
    assert caplog.messages == [
        f"{file} line 2 is damaged, and not read from there on",
        f"{file} line 2 is damaged: what stood from there on is now {file}.damaged-1",
    ]


def test_a_folder_in_the_place_of_a_file_is_one_message(tmp_path: Path) -> None:
    found, error = read(tmp_path)
    assert found == []
    assert str(error) == f"file {tmp_path}: cannot be read (Is a directory); {REMEDY}"


def test_a_writer_that_was_taken_over_before_it_wrote_writes_to_nobody(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    append_lines(file, [{"n": 0}])
    append_lines(file, [{"n": 1}], check=lambda: cut_damaged_end(file, REMEDY))
    assert read(file) == ([{"n": 0}], None)


def test_a_writer_that_was_taken_over_puts_no_older_copy_in_place(tmp_path: Path) -> None:
    """It stood still before it did, and the other one has written since."""
    file, looks = tmp_path / "lines", iter([True, False])
    append_lines(file, [{"n": 0}])

    def check() -> None:
        if not next(looks):
            raise LeaseLost
        cut_damaged_end(file, REMEDY)
        append_lines(file, [{"n": 1}])

    with pytest.raises(LeaseLost):
        cut_damaged_end(file, REMEDY, check)
    assert read(file) == ([{"n": 0}, {"n": 1}], None)
    assert list(tmp_path.iterdir()) == [file]


def test_a_writer_whose_copy_an_earlier_one_removes_makes_it_again(tmp_path: Path) -> None:
    file, removed = tmp_path / "lines", []
    append_lines(file, [{"n": 0}])

    def check() -> None:
        if not removed:
            removed.extend(each for each in tmp_path.iterdir() if each != file)
            removed[0].unlink()

    cut_damaged_end(file, REMEDY, check)
    assert (len(removed), read(file)) == (1, ([{"n": 0}], None))

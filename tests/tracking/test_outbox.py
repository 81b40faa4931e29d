import resource
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from damage import damaged, records
from hypothesis import given
from hypothesis import strategies as st

from noisetune.errors import UserError
from noisetune.store import LeaseLost
from noisetune.tracking.outbox import Outbox, read_messages

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
messages = st.lists(st.dictionaries(st.text(), scalars), max_size=6)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sweep" / "outbox.jsonl"


def fill(file: Path, *said: Any) -> Outbox:
    outbox = Outbox(file)
    for message in said:
        outbox.append(message)
    return outbox


def unread(outbox: Outbox) -> list[Any]:
    return [message for _, message in outbox.unread()]


@given(messages)
def test_whatever_was_said_is_read_in_its_order(said: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        fill(Path(folder) / "outbox.jsonl", *said)
        again = Outbox(Path(folder) / "outbox.jsonl")
        assert unread(again) == list(again.all()) == said


def test_only_what_was_not_delivered_is_read_again(file: Path) -> None:
    outbox = fill(file, {"n": 0}, {"n": 1}, {"n": 2})
    places = [place for place, _ in outbox.unread()]
    outbox.deliver_up_to(places[1])
    assert unread(outbox) == unread(Outbox(file)) == [{"n": 2}]
    assert [message["n"] for message in outbox.all()] == [0, 1, 2]
    outbox.deliver_up_to(places[2])
    assert not Outbox(file).waiting
    outbox.append({"n": 3})
    assert outbox.waiting
    assert unread(outbox) == [{"n": 3}]


@given(messages.filter(bool), st.data())
def test_a_torn_last_line_is_dropped_and_nothing_else(
    said: list[dict[str, Any]], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "outbox.jsonl"
        fill(file, *said)
        content = file.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        file.write_bytes(content[:cut])
        whole = said[: content[:cut].count(b"\n")]
        assert unread(fill(file, {"after": 1})) == [*whole, {"after": 1}]


def test_a_line_that_is_still_being_written_is_not_read(file: Path) -> None:
    outbox = fill(file, {"n": 0})
    with file.open("ab") as writer:
        writer.write(b'{"n":1')
        writer.flush()
        assert unread(outbox) == [{"n": 0}]
        writer.write(b"}\n")
    assert unread(outbox) == [{"n": 0}, {"n": 1}]


def test_a_full_disk_raises_and_leaves_whole_lines(file: Path) -> None:
    outbox = fill(file, {"n": 0})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            outbox.append({"text": "x" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    outbox.append({"n": 1})
    assert unread(outbox) == [{"n": 0}, {"n": 1}]


@pytest.mark.parametrize("mark", ["", "0", "what"])
def test_where_the_note_of_delivery_is_lost_all_is_delivered_again(file: Path, mark: str) -> None:
    outbox = fill(file, {"n": 0}, {"n": 1})
    outbox.deliver_up_to(file.stat().st_size)
    file.with_suffix(".delivered").write_text(mark)
    assert unread(Outbox(file)) == [{"n": 0}, {"n": 1}]


def test_a_new_file_beside_an_old_note_is_delivered(file: Path) -> None:
    fill(file, {"old": "x" * 100}).deliver_up_to(file.stat().st_size)
    file.unlink()
    assert unread(fill(file, {"n": 0})) == [{"n": 0}]


@given(messages.filter(bool), st.data())
def test_a_note_is_of_a_place_in_one_file(said: list[dict[str, Any]], data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        outbox = fill(Path(folder) / "outbox.jsonl", *said)
        places = [place for place, _ in outbox.unread()]
        place = data.draw(st.sampled_from([0, *places]))
        note = outbox.note(place)
        assert outbox.place_of(note) == place
        outbox.append({"more": 1})
        assert outbox.place_of(note) == place
        other = fill(Path(folder) / "other.jsonl", {"other": 1}, *said)
        assert other.place_of(note) == 0


@pytest.mark.parametrize("note", ["", "x", "12", "-1 a", "99999 a", "\u00b2 a"])
def test_what_is_no_note_is_of_the_beginning(file: Path, note: str) -> None:
    assert fill(file, {"n": 0}).place_of(note) == 0


def test_what_is_set_aside_is_there_once(file: Path) -> None:
    outbox = fill(file)
    assert [outbox.set_aside({"n": n}, "why") for n in (0, 1, 0)] == [True, True, False]
    assert len(outbox.refused.read_text().splitlines()) == 2


@given(records, st.data())
def test_damage_anywhere_takes_out_what_is_damaged_alone(
    said: list[dict[str, Any]], data: st.DataObject
) -> None:
    """A look is up to the damage, or one message; the writer goes on with what is whole."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "outbox.jsonl"
        fill(file, *said).deliver_up_to(file.stat().st_size)
        new, _ = data.draw(damaged(file.read_bytes()))
        file.write_bytes(new)
        with suppress(UserError):
            seen = list(read_messages(file))
            assert seen == said[: len(seen)]
        assert file.read_bytes() == new
        left = list(fill(file, {"after": 1}).all())
        assert left.pop() == {"after": 1}
        rest = iter(said)
        assert all(message in rest for message in left)
        aside = list(file.parent.glob("*.damaged-1"))
        assert aside or len(left) == new.count(b"\n")


def test_a_damaged_line_within_is_left_out_and_the_others_are_told_again(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(file, {"n": 0}, {"n": 1}, {"n": 2}).deliver_up_to(file.stat().st_size)
    damaged = file.read_bytes().replace(b'"n":1', b'"n":3')
    file.write_bytes(damaged)
    with pytest.raises(UserError, match=rf"{file} line 2 is damaged.*`noisetune resume`"):
        list(read_messages(file))
    assert unread(Outbox(file)) == [{"n": 0}, {"n": 2}]
    aside = file.with_name("outbox.jsonl.damaged-1")
    assert aside.read_bytes() == damaged
    assert caplog.messages == [
        f"{file}: line 2 is damaged and left out; as it was it is now {aside}"
    ]


def test_what_was_delivered_before_a_damaged_end_is_not_told_again(file: Path) -> None:
    outbox = fill(file, {"n": 0}, {"n": 1})
    outbox.deliver_up_to(file.stat().st_size)
    file.write_bytes(file.read_bytes()[:-5] + b"####\n")
    assert unread(fill(file, {"n": 2})) == [{"n": 2}]


def test_a_note_of_delivery_within_a_line_is_none(file: Path) -> None:
    outbox = fill(file, {"n": 0}, {"n": 1})
    outbox.deliver_up_to(7)
    assert unread(Outbox(file)) == [{"n": 0}, {"n": 1}]


def test_a_folder_in_its_place_is_one_message(file: Path) -> None:
    file.mkdir(parents=True)
    for look in (lambda: Outbox(file), lambda: list(read_messages(file))):
        with pytest.raises(UserError, match=f"{file}: cannot be .*move"):
            look()


def test_where_there_is_none_nothing_is_read(file: Path) -> None:
    assert list(read_messages(file)) == []


def test_who_is_no_longer_the_one_who_writes_it_writes_nothing(file: Path) -> None:
    fill(file, {"n": 0})

    def check() -> None:
        raise LeaseLost

    with pytest.raises(LeaseLost):
        Outbox(file, check)
    outbox = Outbox(file)
    outbox._check = check
    with pytest.raises(LeaseLost):
        outbox.append({"n": 1})
    with pytest.raises(LeaseLost):
        outbox.deliver_up_to(0)
    assert unread(Outbox(file)) == [{"n": 0}]

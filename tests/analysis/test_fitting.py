"""Tables at the width of a terminal: every word stands in one piece."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from noisetune.analysis.fitting import Fitted, wrapped
from noisetune.analysis.tables import plain_table

WIDTHS = (80, 100, 200)
WORD = st.text(st.characters(exclude_categories=["C", "Z", "M"]), min_size=1, max_size=24)
CELL = st.lists(st.tuples(WORD, st.sampled_from([" ", "\n"])), max_size=4).map(
    lambda words: "".join(word + between for word, between in words)
)


@st.composite
def tables(draw: st.DrawFn, cell: st.SearchStrategy[str] = CELL) -> Table:
    table = plain_table(draw(cell))
    for heading in draw(st.lists(cell, min_size=1, max_size=9)):
        right = draw(st.booleans())
        table.add_column(heading, justify="right" if right else "left", no_wrap=draw(st.booleans()))
    for row in range(draw(st.integers(0, 4))):
        table.add_row(*(draw(cell) for _ in table.columns), end_section=row == 1)
    table.caption = draw(cell)
    return table


def printed(table: Table, width: int) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(Fitted(table), crop=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def words_of(table: Table) -> set[str]:
    cells = [str(table.title), str(table.caption), *(str(each.header) for each in table.columns)]
    cells += [str(cell) for column in table.columns for cell in column.cells]
    return {word for cell in cells for word in cell.split()}


@pytest.mark.parametrize("width", WIDTHS)
@given(table=tables())
def test_every_word_stands_unbroken(table: Table, width: int) -> None:
    if not table.row_count:
        table.add_row(*("x" for _ in table.columns))
    shown = printed(table, width).split()
    assert all(any(word in piece for piece in shown) for word in words_of(table))


@pytest.mark.parametrize("width", WIDTHS)
@given(table=tables())
def test_no_line_is_longer_than_the_terminal(table: Table, width: int) -> None:
    """Whose words are all shorter."""
    for column in table.columns:
        column.no_wrap = False
    assert max(map(cell_len, printed(table, width).splitlines()), default=0) <= width


@given(table=tables(st.text("abc \n", max_size=400)))
def test_a_word_longer_than_a_line_runs_over_it(table: Table) -> None:
    if not table.row_count:
        table.add_row(*("x" for _ in table.columns))
    shown = printed(table, 80).split()
    assert all(any(word in piece for piece in shown) for word in words_of(table))


def plain(rows: list[list[str]], headings: str = "rate method trials last") -> Table:
    table = plain_table("a title")
    table.caption = "a note that is longer than the table is wide\nand another one"
    for heading in headings.split():
        table.add_column(heading, justify="right" if heading == "last" else "left")
    for row in rows:
        table.add_row(*row)
    return table


ROWS = [["0.3", "none", "5 done\n1 pruned", "88.4"], ["0.3", "simclr", "2 done", "95.6"]]


def lines(table: Table, width: int) -> list[str]:
    return [line.rstrip() for line in printed(table, width).splitlines()]


def test_where_there_is_room_columns_stand_side_by_side() -> None:
    assert lines(plain(ROWS), 80) == [
        "a title",
        "rate  method  trials    last",
        "─" * 28,
        "0.3   none    5 done    88.4",
        "              1 pruned",
        "0.3   simclr  2 done    95.6",
        "",
        "a note that is longer than the table is wide",
        "and another one",
    ]


def test_with_less_room_they_move_together() -> None:
    assert lines(plain(ROWS), 23)[1] == "rate method trials last"


def test_without_room_they_come_in_bands_after_what_tells_the_rows_apart() -> None:
    assert lines(plain(ROWS), 18)[1:10] == [
        "rate method trials",
        "──────────────────",
        "0.3  none   5 done",
        "            1",
        "            pruned",
        "0.3  simclr 2 done",
        "",
        "rate  method  last",
        "──────────────────",
    ]


def test_where_no_band_has_room_each_row_is_a_block() -> None:
    rows = [["a" * 12, "fails", "no such file: " + "b" * 30], ["c", "done", ""]]
    assert lines(plain(rows, "trial state why"), 40)[1:10] == [
        f"trial: {'a' * 12}",
        "state: fails",
        "why: no such file:",
        f"  {'b' * 30}",
        "",
        "trial: c",
        "state: done",
        "why:",
        "",
    ]


def test_brackets_are_words_too() -> None:
    rows = [["trial", "[errno 28] :smile:", "[/]", ""]]
    assert "[errno 28] :smile:  [/]" in printed(plain(rows), 80)


def test_blanks_within_a_line_stay() -> None:
    assert wrapped("f1 0.5  auroc 0.75", 80) == ["f1 0.5  auroc 0.75"]
    assert wrapped("f1 0.5  auroc 0.75", 12) == ["f1 0.5", "auroc 0.75"]

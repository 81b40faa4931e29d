"""Tables at the width of a terminal: no word is broken, whatever the width."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

from noisetune.analysis.rendering import heading_line, notes_of

GAPS = (2, 1)
"""Blanks between two columns: the first that leaves room for the words."""


@dataclass(frozen=True)
class Fitted:
    """A table for a terminal, its title above and its notes below as wide as that is.

    Where the longest words of its columns do not fit side by side, the columns come in several
    bands, one below the other, each after those that tell the rows apart. Where a band does not fit
    either, each row is a block of lines. A word longer than a line runs over it, printed uncropped.
    """

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, columns = options.max_width, list(map(_Column.of, self.table.columns))
        yield _text(wrapped(str(self.table.title or ""), width), "table.title")
        bands = list(_bands(columns, width))
        if all(_fits(band, width) for band in bands):
            for number, band in enumerate(bands):
                yield from [""] if number else []
                yield _drawn(band, width)
        else:
            yield _text(_blocks(columns, width))
        if notes := list(notes_of(self.table)):
            yield ""
            yield _text((line for note in notes for line in wrapped(note, width)), "table.caption")


@dataclass(frozen=True)
class _Column:
    heading: str
    cells: tuple[str, ...]
    right: bool
    whole_lines: bool

    @classmethod
    def of(cls, column: Column) -> "_Column":
        cells = tuple(map(str, column.cells))
        return cls(str(column.header), cells, column.justify == "right", column.no_wrap)

    @property
    def most(self) -> int:
        """Its width with no line of it wrapped."""
        return max(_lengths(self._lines), default=1)

    @property
    def least(self) -> int:
        """Its width with no word of it broken."""
        lines = self._lines
        parts = lines if self.whole_lines else [word for line in lines for word in line.split(" ")]
        return max(_lengths(parts), default=1)

    @property
    def _lines(self) -> list[str]:
        return [line for text in (self.heading, *self.cells) for line in text.splitlines()]


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """The lines of a text, wrapped between words; those that follow a line's first are indented."""
    lines = []
    for line in text.splitlines() or [""]:
        now, *words = line.split(" ")
        for word in words:
            if cell_len(longer := f"{now} {word}") <= width or not now.strip():
                now = longer
            elif word:
                lines.append(now.rstrip())
                now = indent + word
        lines.append(now.rstrip())
    return lines


def _bands(columns: Sequence[_Column], width: int) -> Iterator[list[_Column]]:
    key = _telling_apart(columns)
    band = list(key)
    for column in columns[len(key) :]:
        if len(band) > len(key) and not _fits([*band, column], width):
            yield band
            band = list(key)
        band.append(column)
    yield band


def _telling_apart(columns: Sequence[_Column]) -> Sequence[_Column]:
    """The first columns, as few as tell each row from the others; the first where none do."""
    for count in range(1, len(columns)):
        rows = list(zip(*(column.cells for column in columns[:count]), strict=True))
        if len(set(rows)) == len(rows):
            return columns[:count]
    return columns[:1]


def _fits(columns: Sequence[_Column], width: int, gap: int = GAPS[-1]) -> bool:
    return sum(column.least for column in columns) + gap * (len(columns) - 1) <= width


def _drawn(columns: Sequence[_Column], width: int) -> Text:
    """Headings over a line over the rows, the widest of `GAPS` between columns."""
    gap = next(gap for gap in GAPS if _fits(columns, width, gap))
    widths = _widths(columns, width - gap * (len(columns) - 1))
    headings = [wrapped(column.heading, room) for column, room in zip(columns, widths, strict=True)]
    deepest = max(map(len, headings))
    low = [[""] * (deepest - len(lines)) + lines for lines in headings]
    text = _text(_side_by_side(low, columns, widths, gap), "table.header")
    text.append("\n" + "─" * (sum(widths) + gap * (len(widths) - 1)))
    for row in zip(*(column.cells for column in columns), strict=True):
        cells = [wrapped(cell, room) for cell, room in zip(row, widths, strict=True)]
        text.append("\n" + "\n".join(_side_by_side(cells, columns, widths, gap)))
    return text


def _side_by_side(
    cells: Sequence[list[str]], columns: Sequence[_Column], widths: Sequence[int], gap: int
) -> Iterator[str]:
    for parts in zip_longest(*cells, fillvalue=""):
        placed = []
        for part, column, width in zip(parts, columns, widths, strict=True):
            blanks = " " * (width - cell_len(part))
            placed.append(blanks + part if column.right else part + blanks)
        yield (" " * gap).join(placed).rstrip()


def _widths(columns: Sequence[_Column], room: int) -> list[int]:
    """As wide as the columns would be, the widest made narrower until they have room."""
    widths, least = [column.most for column in columns], [column.least for column in columns]
    while sum(widths) > room:
        can = [place for place in range(len(widths)) if widths[place] > least[place]]
        widths[max(can, key=widths.__getitem__)] -= 1
    return widths


def _blocks(columns: Sequence[_Column], width: int) -> Iterator[str]:
    """Each row as lines of a heading and its cell, rows apart by an empty line."""
    for number, row in enumerate(zip(*(column.cells for column in columns), strict=True)):
        yield from [""] if number else []
        for column, cell in zip(columns, row, strict=True):
            line = f"{heading_line(column.heading)}: {' '.join(cell.split())}"
            yield from wrapped(line, width, indent="  ")


def _text(lines: Iterable[str], style: str = "") -> Text:
    text = Text(no_wrap=True, overflow="ignore")
    return text.append("\n".join(lines), style)


def _lengths(texts: Iterable[str]) -> list[int]:
    return [max(1, cell_len(text)) for text in texts]

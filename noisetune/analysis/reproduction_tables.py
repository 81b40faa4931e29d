"""Published figures beside ours, as tables and as rows of a CSV file."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from noisetune.analysis.cells import RULES
from noisetune.analysis.claims import held_lines
from noisetune.analysis.published_tables import FIGURES, PublishedTable
from noisetune.analysis.reproduction import Reproduced, common_reasons
from noisetune.analysis.statistics import Interval
from noisetune.analysis.tables import CONDITIONAL, captioned, plain_table, short_names, shown
from noisetune.selection import Choice

READ_OFF = "~"


def reproduction_tables(table: PublishedTable, rows: Sequence[Reproduced]) -> Iterator[Table]:
    """One table for each figure and data set; the last one says what is true of all."""
    parts = dict.fromkeys((row.figure, row.where.get("data.name")) for row in rows)
    tables = []
    for figure in table.printed:
        for data in (data for each, data in parts if each == figure):
            rows_of_figure = [
                row for row in rows if (row.figure, row.where.get("data.name")) == (figure, data)
            ]
            tables.append(_figure_table(table, rows_of_figure, figure, data))
    tables[-1].caption = "\n".join(_notes(table, rows))
    yield from tables


def _figure_table(
    table: PublishedTable, rows: Sequence[Reproduced], figure: str, data: str | None
) -> Table:
    of, by_epoch = FIGURES[figure], figure == "accuracy"
    unit = " in %" if of.scale == 100 else ""
    title = f"{table.title}, {data}" if data else table.title
    made = plain_table(f"{title}: {of.heading}{unit}")
    short = short_names(key for key in rows[0].where if key != "data.name")
    widths = {
        key: max(len(name), *(len(shown(row.where[key])) for row in rows))
        for key, name in short.items()
    }
    made.add_column(" ".join(f"{name:<{widths[key]}}" for key, name in short.items()), no_wrap=True)
    for heading in ("paper", "ours", "n", "diff."):
        made.add_column(heading, justify="right", no_wrap=True)
    made.add_column("verdict")
    others = _other_choices(rows) if by_epoch else []
    for choice in others:
        made.add_column(RULES[choice], justify="right")
    for row in rows:
        cell = " ".join(f"{shown(row.where[key]):<{widths[key]}}" for key in short)
        beside = [_interval(getattr(row, choice), row) for choice in others]
        made.add_row(cell, *_cells(row, table.printed[figure]), *beside)
    return made


def _other_choices(rows: Sequence[Reproduced]) -> list[Choice]:
    """Those beside the oracle's, as far as trials have them."""
    waved = any(row.label_wave is not None and row.label_wave.n for row in rows)
    return ["last", "noisy_best", "label_wave"] if waved else ["last", "noisy_best"]


def _cells(row: Reproduced, last_digit: float) -> list[str]:
    alone = "" if row.alone is None else f"({row.alone:.1f})"
    about = READ_OFF if row.read_off else ""
    decimals = max(0, -round(math.log10(last_digit)))
    return [
        f"{about}{row.paper:.{decimals}f}",
        _interval(row.ours, row) or alone,
        str(row.ours.n) if row.condition else "",
        _difference(row.difference),
        f"{about}{row.verdict}" if row.verdict in ("inside", "outside") else row.verdict,
    ]


def _difference(interval: Interval | None) -> str:
    if interval is None or interval.mean is None:
        return ""
    half = "" if interval.high is None else f" ±{interval.high - interval.mean:.1f}"
    return f"{interval.mean:+.1f}{half}"


def _interval(interval: Interval | None, row: Reproduced) -> str:
    if interval is None or interval.mean is None:
        return ""
    if interval.high is None:
        return f"{interval.mean:.1f}"
    mark = CONDITIONAL if row.one_encoder else ""
    return f"{interval.mean:.1f} ±{interval.high - interval.mean:.1f}{mark}"


def _notes(table: PublishedTable, rows: Sequence[Reproduced]) -> list[str]:
    notes = [
        f"paper: arXiv 2511.20844, {table.seeds} seeds; {table.source}",
        "ours: mean ± 95 % over n replicates, (in brackets: the search trial that won); "
        "difference: ours - paper",
        "inside, outside: of the paper's mean alone, in our interval",
    ]
    if any(row.paper_values for row in rows):
        notes.append(
            f"consistent, differ: our n replicates against the paper's own {table.seeds} seeds; "
            "whether 0 is in Welch's 95 % interval of the difference"
        )
    if any(row.read_off for row in rows):
        notes.append(f"{READ_OFF} read off a figure: how exactly is not known")
    if reasons := common_reasons(rows):
        notes.append(f"not comparable: {'; '.join(reasons)}")
    notes += held_lines(table, rows)
    marked = [row for row in rows if row.one_encoder and row.ours.high is not None]
    return captioned(notes, marked).splitlines()


def as_csv(rows: Sequence[Reproduced]) -> str:
    """One line a figure, with a header."""
    keys = list(dict.fromkeys(key for row in rows for key in row.where))
    lines = [dict.fromkeys(keys, "") | _csv_line(row) for row in rows]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def _csv_line(row: Reproduced) -> dict[str, Any]:
    intervals = {
        "ours": row.ours,
        "difference": row.difference,
        "last": row.last,
        "noisy_best": row.noisy_best,
        "label_wave": row.label_wave,
    }
    ends = {
        f"{name}_{end}": getattr(interval, end, None)
        for name, interval in intervals.items()
        for end in ("mean", "low", "high", "n")
    }
    plain = ("figure", "paper", "read_off", "condition", "alone", "verdict")
    return (
        row.where
        | {name: getattr(row, name) for name in plain}
        | ends
        | {
            "paper_n": len(row.paper_values),
            "conditional_on_one_encoder": row.one_encoder,
            "reasons": "; ".join(row.reasons),
        }
    )

"""A report as files: the page, its figures, its tables."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from noisetune.analysis.rendering import as_csv, as_latex, as_markdown
from noisetune.errors import UserError
from noisetune.files import check_folder
from noisetune.report.contents import Section
from noisetune.report.page import page
from noisetune.report.sections import OF_A_COMPARISON, OF_A_SWEEP, sections_of
from noisetune.report.style import styled
from noisetune.report.svg import as_png, as_svg
from noisetune.report.view import SweepView

TABLES = {"csv": as_csv, "md": as_markdown, "tex": as_latex}
INDEX = "index.html"
PARTS = {INDEX, "figures", "tables"}
"""What is in the folder of a report."""


@dataclass(frozen=True)
class Report:
    """A report in memory: the page, and the sections and SVG drawings that it was made of."""

    html: str
    sections: Sequence[Section]
    drawn: dict[str, str]

    def files(self) -> Iterator[tuple[str, bytes]]:
        """The path in the report's folder, and the content, of each of its files."""
        yield INDEX, self.html.encode()
        yield from ((f"figures/{name}.svg", svg.encode()) for name, svg in self.drawn.items())
        for section in self.sections:
            with styled():
                for each in section.drawings:
                    yield f"figures/{each.name}.png", as_png(each.figure)
            for name, table in (section.tables or {}).items():
                for ending, write in TABLES.items():
                    yield f"tables/{name}.{ending}", write(table).encode()


def report_of(view: SweepView, refresh: bool = False, compared: bool = False) -> Report:
    """The report of a sweep, or with `compared` of several; the same for the same view."""
    sections = sections_of(view, OF_A_COMPARISON if compared else OF_A_SWEEP)
    with styled():
        drawn = {each.name: as_svg(each.figure) for part in sections for each in part.drawings}
    return Report(page(view, sections, drawn, refresh), sections, drawn)


def check_place(folder: Path, option: str) -> None:
    """UserError where a report would take the place of anything but a report."""
    check_folder(folder, option)
    names = {each.name for each in folder.iterdir()} if folder.exists() else set()
    if names - PARTS:
        raise UserError(
            f"{option} {folder}: has other files than a report ({min(names - PARTS)}), and is "
            "replaced whole; give a folder that is not there yet"
        )


def write_report(report: Report, folder: Path) -> Path:
    """Put a report in the place of the one that is there, whole; the page's path.

    It is written beside, and moved there when it is whole. OSError where that is refused.
    """
    folder = folder.absolute()
    hidden = f".{folder.name}-{os.getpid()}"
    beside, old = folder.with_name(f"{hidden}.new"), folder.with_name(f"{hidden}.old")
    try:
        for name, content in report.files():
            file = beside / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        if folder.exists():
            folder.rename(old)
        try:
            beside.rename(folder)
        except OSError:
            with suppress(OSError):
                old.rename(folder)
            raise
    finally:
        for left in (beside, old):
            shutil.rmtree(left, ignore_errors=True)
    return folder / INDEX

"""One look for all figures: an arm has its colour, marker and line in each of them.

The colours differ for who is colour-blind, and have a contrast of 3 to 1 to white and to the page's
dark ground; in grey, markers and lines tell the arms apart.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK = "#24292e"
"""Of text and axes: on the page it becomes the colour of its text, light or dark."""
PALE = "#8a9099"
"""Of grids and of what is beside the point."""
WHITE, DARK = "#ffffff", "#14171a"
"""The grounds of the page."""

PALETTE = (
    *("#767676", "#2f7fc1", "#d2691e", "#119272", "#a868b8", "#b08a00"),
    *("#cf4f6a", "#5f7f3f"),
)
MARKERS, LINES = "osD^vPX*", ("-", "-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
KNOWN = {
    **{"none": 0, "scratch": 0, "simclr": 1, "barlow_twins": 2},
    **{"vicreg": 3, "byol": 4, "imagenet": 5, "checkpoint": 6},
}
"""Methods that look alike in every report."""

RULES: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9,
    "legend.fontsize": 9, "xtick.labelsize": 8, "ytick.labelsize": 8,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "axes.titlecolor": INK,
    "xtick.color": INK, "ytick.color": INK, "axes.facecolor": "none", "figure.facecolor": "none",
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": PALE,
    "grid.alpha": 0.25, "grid.linewidth": 0.6, "axes.linewidth": 0.7, "lines.linewidth": 1.6,
    "lines.markersize": 5, "legend.frameon": False, "axes.axisbelow": True,
    "svg.fonttype": "none", "svg.hashsalt": "noisetune", "path.simplify": True,
    "axes.formatter.useoffset": False,
}  # fmt: skip
WIDTH, HEIGHT, LEGEND = 7.2, 2.2, 0.35
"""Inches: of a figure, of a row of panels, of the legend above them."""
COLUMNS = 3


@dataclass(frozen=True)
class Look:
    """How an arm is drawn."""

    color: str
    marker: str
    line: Any

    @property
    def of_line(self) -> dict[str, Any]:
        return {"color": self.color, "linestyle": self.line}

    @property
    def of_points(self) -> dict[str, Any]:
        return {"color": self.color, "marker": self.marker, "linestyle": "none"}


def looks(arms: Iterable[str]) -> dict[str, Look]:
    """By arm: a method that is known has its own, the others take what is free, in their order."""
    arms = list(arms)
    taken = {arm: KNOWN[arm] for arm in arms if arm in KNOWN}
    free = [place for place in range(len(PALETTE)) if place not in taken.values()]
    free += range(len(PALETTE), len(PALETTE) + len(arms))
    rest = iter(free)
    return {arm: _look(taken[arm] if arm in taken else next(rest)) for arm in arms}


def _look(place: int) -> Look:
    """The lines have another period than the colours: no two of many arms are drawn alike."""
    number = place % len(PALETTE)
    line = LINES[(number + place // len(PALETTE)) % len(LINES)]
    return Look(PALETTE[number], MARKERS[(number + place // len(PALETTE)) % len(MARKERS)], line)


@contextmanager
def styled() -> Iterator[None]:
    """What is drawn and written inside has this look, whatever the user's settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RULES)
        yield


def grid_of(
    count: int, columns: int = COLUMNS, height: float = HEIGHT, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, at most so many `columns` a row."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, rows * height + LEGEND), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **shared).flat
    cells = list(axes)
    for unused in cells[count:]:
        unused.set_visible(False)
    return figure, cells[:count]


def marked(artists: Any, arm: str, count: list[int]) -> None:
    """Note on artists which arm they show, for the page to find them; `count` has one number."""
    for artist in artists if isinstance(artists, Sequence) else [artists]:
        count[0] += 1
        artist.set_gid(f"arm.{slug(arm)}.{count[0]}")


def over_epochs(ax: Axes, label: str = "epoch") -> None:
    """The axis counts whole epochs."""
    ax.set_xlabel(label)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))


def slug(arm: str) -> str:
    """A name of letters, digits, `_` and `-`; arms that are alike in these share it."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", arm).strip("-")


def legend(figure: Figure, look: dict[str, Look], lines: bool = True) -> None:
    """The arms, above the panels."""
    from matplotlib.lines import Line2D

    handles = []
    for number, (arm, each) in enumerate(look.items(), 1):
        handle = Line2D([], [], color=each.color, marker=each.marker, label=arm,
                        linestyle=each.line if lines else "none")  # fmt: skip
        handle.set_gid(f"arm.{slug(arm)}.key{number}")
        handles.append(handle)
    columns = max(1, min(len(handles), 88 // (6 + max(map(len, look)))))
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, handlelength=2.6)

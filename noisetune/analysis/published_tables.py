"""What the paper published, as data: the files in `published/`.

A file lists rows of cells; `where` says what a row is of, `along` the field that its cells differ
in, `trial` what else the paper's trial had. Its figures are in the order of `printed`, the last
digit that the paper gives of each. Shares are in percent. `FIGURE_by_seed` are the values that a
figure is the mean of, where they were published. `claims` are sentences of the paper that its own
figures can be held against.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

from noisetune.errors import UserError


@dataclass(frozen=True)
class Figure:
    """A figure of the paper: its heading, our metric, and what of its unit our 1 is."""

    heading: str
    metric: str
    scale: float = 100.0


FIGURES = {
    "accuracy": Figure("clean test accuracy (best epoch by clean test)", "test/accuracy_at_oracle"),
    "peak_epoch": Figure("epoch of the best clean test accuracy", "epoch_at_oracle", 1.0),
    "last_accuracy": Figure("clean test accuracy after the last epoch", "test/accuracy_at_last"),
    "f1": Figure("F1 of the flagged labels", "detect/f1"),
    "balanced_accuracy": Figure(
        "balanced accuracy of the flagged labels", "detect/balanced_accuracy"
    ),
}
"""By the names that the files have for them."""


@dataclass(frozen=True)
class PublishedCell:
    """One cell: what it is of (field -> value), what else its trial had, its figures by name.

    `by_seed` gives the values over seeds of those figures that have them. `read_off` says that
    they were read off a figure; `unsure` what is not known of the trial.
    """

    where: dict[str, Any]
    trial: dict[str, Any]
    figures: dict[str, float]
    by_seed: dict[str, tuple[float, ...]]
    read_off: bool
    unsure: str | None


@dataclass(frozen=True)
class PublishedClaim:
    """A sentence of the paper: each of the `arms` is more accurate than `against` at these `rates`.

    All of them are methods of pre-training.
    """

    says: str
    arms: tuple[str, ...]
    against: str
    rates: tuple[float, ...]


@dataclass(frozen=True)
class PublishedTable:
    """A published table; `printed` is the last digit of each figure, in points."""

    name: str
    title: str
    source: str
    seeds: int
    printed: dict[str, float]
    cells: tuple[PublishedCell, ...]
    claims: tuple[PublishedClaim, ...] = ()


def published_names() -> list[str]:
    return sorted(file.name.removesuffix(".yaml") for file in _folder().iterdir())


def read_published(name: str) -> PublishedTable:
    """A published table by name; UserError, with those there are, for another."""
    if name not in published_names():
        raise UserError(f"no published table {name!r}; there are: {', '.join(published_names())}")
    raw = yaml.safe_load((_folder() / f"{name}.yaml").read_text())
    heads = {key: raw[key] for key in ("title", "source", "seeds", "printed")}
    claims = tuple(PublishedClaim(**claim) for claim in raw.get("claims", ()))
    return PublishedTable(name=name, cells=tuple(_cells(raw)), claims=claims, **heads)


def _folder() -> Any:
    return files("noisetune.analysis") / "published"


def _cells(raw: Mapping[str, Any]) -> Iterator[PublishedCell]:
    for row in raw["rows"]:
        for value, figures in row["figures"].items():
            yield PublishedCell(
                where=row["where"] | {raw["along"]: value},
                trial=raw.get("trial", {}) | row.get("trial", {}),
                # A row may end early: at rate 0 there is nothing to detect.
                figures=dict(zip(raw["printed"], map(float, figures), strict=False)),
                by_seed={
                    figure: tuple(row[f"{figure}_by_seed"][value])
                    for figure in raw["printed"]
                    if f"{figure}_by_seed" in row
                },
                read_off=row.get("read_off", raw.get("read_off", False)),
                unsure=row.get("unsure"),
            )

"""All that a run found, and the files of it that a program reads: issues.csv and noise.json."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noisetune.analysis import trial_tables
from noisetune.clean.duplicates import Duplicates
from noisetune.clean.pictures import Pictures
from noisetune.clean.verdicts import Interval, Verdicts
from noisetune.texts import counted, csv_text

RANKING_ONLY = "a ranking only"
DECISIONS = ("keep", "relabel", "remove")
"""Columns that a person fills in: a mark, the right class, a mark."""


@dataclass(frozen=True)
class Findings:
    """The images, what is said of them, and how often `rounds` of `folds` were cut for it."""

    pictures: Pictures
    verdicts: Verdicts
    duplicates: Duplicates
    folds: int
    rounds: int

    @property
    def calibrated(self) -> bool:
        return self.verdicts.probability is not None

    @property
    def paths(self) -> Sequence[str]:
        return self.pictures.source.paths

    @property
    def given(self) -> Sequence[str]:
        """The label of each image."""
        return self.pictures.source.labels

    def suggested(self, row: int) -> str:
        """The class that is suggested for an image."""
        return self.pictures.data.class_names[self.verdicts.suggested[row]]

    @property
    def relabelled(self) -> list[tuple[int, ...]]:
        """Groups of equal images whose labels differ."""
        return [rows for rows in self.duplicates.exact if len({self.given[r] for r in rows}) > 1]

    @property
    def in_both_parts(self) -> list[tuple[int, ...]]:
        """Groups of duplicates that lie in more than one part of the data."""
        parts = self.pictures.source.parts
        if parts is None:
            return []
        return [rows for rows in self.duplicates.near if len({parts[r] for r in rows}) > 1]

    def reason(self, row: int) -> str:
        """Why a label is held to be wrong, in words."""
        named = self.given[row], self.suggested(row)
        (seen, own_seen), (votes, own_votes) = self._for_both(row)
        return (
            f"networks that never saw this label read {named[1]} with {seen:.0%} and {named[0]} "
            f"with {own_seen:.0%}; of its nearest images' votes {votes:.0%} are for {named[1]}, "
            f"{own_votes:.0%} for {named[0]}"
        )

    def evidence(self, row: int) -> str:
        """The same in short: of the suggested and of the given class."""
        (seen, own_seen), (votes, own_votes) = self._for_both(row)
        return f"read {seen:.0%} / {own_seen:.0%}, votes {votes:.0%} / {own_votes:.0%}"

    def _for_both(self, row: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """What networks, and what neighbours, say for the suggested and for the given class."""
        both = self.verdicts.suggested[row], self.pictures.data.y_train[row]
        seen, votes = self.verdicts.likeliness[row], self.verdicts.votes[row]
        return (seen[both[0]], seen[both[1]]), (votes[both[0]], votes[both[1]])


def issues_csv(found: Findings) -> str:
    """Every image, the most suspicious first, with columns for a person's decisions."""
    names = list(found.verdicts.by_detector)
    heading = [
        "rank", "path", "given", "suggested", "probability_wrong", "probability_suggested",
        "score", *names, "near_duplicates", "reason", *DECISIONS,
    ]  # fmt: skip
    return csv_text([heading, *_issue_rows(found, names)])


def _issue_rows(found: Findings, names: Sequence[str]) -> Iterator[list[Any]]:
    """What stands of each image, with the score of each of the `names` of detectors."""
    verdicts = found.verdicts
    for rank, row in enumerate(verdicts.order.tolist(), 1):
        yield [
            rank,
            found.paths[row],
            found.given[row],
            found.suggested(row),
            _four_digits(verdicts.probability, row),
            _four_digits(verdicts.suggested_probability, row),
            f"{verdicts.scores[row]:.4f}",
            *(f"{verdicts.by_detector[name][row]:.6g}" for name in names),
            int(found.duplicates.group[row]) or "",
            found.reason(row),
            *[""] * len(DECISIONS),
        ]


def _four_digits(values: NDArray[np.float64] | None, row: int) -> str:
    return "" if values is None else f"{values[row]:.4f}"


def noise_json(found: Findings) -> dict[str, Any]:
    """What is known of the whole, for a program; shares are 0..1, intervals 95 %."""
    source, verdicts = found.pictures.source, found.verdicts
    return {
        "images": len(source),
        "classes": list(source.classes),
        "calibrated": found.calibrated,
        "doubts": list(verdicts.doubts),
        "rate": asdict(verdicts.rate) | {"rests_on": rests_on(found)},
        "looks": asdict(verdicts.rates),
        "review": [
            {"errors": share, **asdict(interval)} for share, interval in verdicts.reviews.items()
        ],
        "matrix": [[each.estimate for each in row] for row in verdicts.matrix],
        "matrix_low": [[each.low for each in row] for row in verdicts.matrix],
        "matrix_high": [[each.high for each in row] for row in verdicts.matrix],
        "small_classes": source.small_classes,
        "near_duplicates": _named(found, found.duplicates.near),
        "exact_duplicates": _named(found, found.duplicates.exact),
        "equal_with_different_labels": _named(found, found.relabelled),
        "in_both_parts": _named(found, found.in_both_parts),
        "odd": [{"path": found.paths[row], "why": why} for row, why in found.pictures.odd],
        "not_read": [{"path": path, "why": why} for path, why in source.left_out],
    }


def rests_on(found: Findings) -> str:
    """What an interval is over, in words."""
    return (
        f"{counted(found.folds * found.rounds, 'part')}: {counted(found.folds, 'fold')} under "
        f"{counted(found.rounds, 'seed')}, whose networks share training images"
    )


def statements(found: Findings) -> list[str]:
    """What can be said, in words, and what cannot."""
    verdicts, rates = found.verdicts, found.verdicts.rates
    said = [
        f"Estimated share of wrong labels: {percent(verdicts.rate)}, over {rests_on(found)}.",
    ]
    if not found.calibrated:
        said += [
            f"{RANKING_ONLY.capitalize()}: no probability of being wrong is given.",
            *(f"{doubt[0].upper()}{doubt[1:]}." for doubt in verdicts.doubts),
            f"The share of wrong labels may lie anywhere from {rates.lowest:.1%} to "
            f"{rates.highest:.1%}, or below: a hard image looks like a wrong label.",
        ]
    said += [_review(share, interval) for share, interval in verdicts.reviews.items()]
    small = found.pictures.source.small_classes
    if small:
        named = ", ".join(f"{name} ({count})" for name, count in small.items())
        said.append(f"Too few images to say anything of these classes: {named}.")
    return said


def _review(share: float, interval: Interval) -> str:
    """How much of the ranking has that share of the errors."""
    look = f"Look at the first {percent(interval)} of the ranking"
    if not interval.estimate:
        look = "No label is suspicious enough to look at"
    return (
        f"{look} for {share:.0%} of the errors; this rests on errors that were planted, and real "
        "ones are often harder to see."
    )


def percent(interval: Interval) -> str:
    """An estimate and its interval in percent."""
    if interval.estimate is None:
        return "unknown"
    if interval.low is None or interval.high is None:
        return f"{interval.estimate:.1%}"
    return f"{interval.estimate:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def confusion(found: Findings) -> np.ndarray:
    """How many of the suspects are given as [i] and suggested as [j] (C, C)."""
    classes = len(found.pictures.data.class_names)
    rows = found.verdicts.order[: found.verdicts.suspects]
    given = found.pictures.data.y_train.numpy()
    return trial_tables.confusion(given[rows], found.verdicts.suggested[rows], classes)


def _named(found: Findings, groups: Sequence[tuple[int, ...]]) -> list[list[Mapping[str, str]]]:
    return [
        [{"path": found.paths[row], "label": found.given[row]} for row in rows] for rows in groups
    ]

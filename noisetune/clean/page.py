"""The findings as one page that can be sent to a colleague: it asks nobody for anything."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from noisetune.clean.findings import Findings, confusion, percent, statements
from noisetune.errors import UserError
from noisetune.report.templates import page_template, text_of

PACKAGE = "noisetune.clean"
LARGEST = 2_000_000
"""Bytes that a page may have."""
WORST, GROUPS, LINES, CLASSES = 240, 40, 100, 20
"""What is shown at most: suspects, groups of duplicates, lines of a list, classes of a matrix."""
SUREST = 0.99
"""A probability above it is written as such."""
THUMBNAIL = 96
QUALITY = 80


@dataclass(frozen=True)
class Shown:
    """An image on the page."""

    path: str
    label: str
    note: str
    src: str


def page(found: Findings) -> str:
    """The whole page, with fewer thumbnails where it would be too large."""
    worst = WORST
    while worst:
        text = page_template(PACKAGE).render(_content(found, worst))
        if len(text.encode()) <= LARGEST:
            return text
        worst //= 2
    raise UserError(
        f"DATA {found.pictures.source.root}: the names of its images and classes alone are more "
        f"than the {LARGEST / 1e6:.0f} MB of a page; shorten them"
    )


def _content(found: Findings, worst: int) -> dict[str, Any]:
    source = found.pictures.source
    groups = GROUPS * worst // WORST
    return {
        "name": source.root.resolve().name,
        "images": len(source),
        "classes": found.pictures.data.class_names,
        "calibrated": found.calibrated,
        "statements": statements(found),
        "pairs": _pairs(found, worst),
        "suspects": found.verdicts.suspects,
        "confusion": _confusion(found),
        "matrix": _matrix(found),
        "many_classes": len(source.classes) > CLASSES,
        "relabelled": _groups(found, found.relabelled, groups),
        "both": _groups(found, found.in_both_parts, groups),
        "near": _groups(found, found.duplicates.near, groups),
        "counts": {
            "relabelled": len(found.relabelled),
            "both": len(found.in_both_parts),
            "near": len(found.duplicates.near),
            "odd": len(found.pictures.odd),
            "not_read": len(source.left_out),
        },
        "odd": [_shown(found, row, why) for row, why in found.pictures.odd[: groups or 1]],
        "not_read": source.left_out[:LINES],
        "css": Markup(text_of(PACKAGE, "page.css")),
    }


def _pairs(found: Findings, worst: int) -> list[dict[str, Any]]:
    """The worst images by given and suggested class, the pair with the very worst first."""
    verdicts = found.verdicts
    pairs: dict[tuple[str, str], list[Shown]] = {}
    for row in verdicts.order[: max(min(worst, verdicts.suspects), min(worst, 20))].tolist():
        pair = found.given[row], found.suggested(row)
        chance = "" if verdicts.probability is None else _chance(float(verdicts.probability[row]))
        pairs.setdefault(pair, []).append(_shown(found, row, chance + found.evidence(row)))
    return [
        {"given": given, "suggested": suggested, "images": images}
        for (given, suggested), images in pairs.items()
    ]


def _chance(probability: float) -> str:
    """Never certain: planted errors do not tell hard images from wrong labels beyond doubt."""
    return "wrong: over 99%. " if probability > SUREST else f"wrong: {probability:.0%}. "


def _shown(found: Findings, row: int, note: str) -> Shown:
    return Shown(found.paths[row], found.given[row], note, thumbnail(found, row))


def _groups(found: Findings, groups: Sequence[tuple[int, ...]], most: int) -> list[list[Shown]]:
    return [[_shown(found, row, "") for row in rows[:8]] for rows in groups[:most]]


def _confusion(found: Findings) -> list[tuple[str, list[int]]]:
    counts, names = confusion(found), found.pictures.data.class_names
    return [(name, row[:CLASSES].tolist()) for name, row in zip(names, counts, strict=True)][
        :CLASSES
    ]


def _matrix(found: Findings) -> list[tuple[str, list[str]]]:
    rows = zip(found.pictures.data.class_names, found.verdicts.matrix, strict=True)
    return [(name, [percent(each) for each in row[:CLASSES]]) for name, row in rows][:CLASSES]


def thumbnail(found: Findings, row: int) -> str:
    """An image as a data URI of a small JPEG."""
    pixels = found.pictures.data.x_train[row].permute(1, 2, 0).numpy()
    plain = pixels.squeeze(2) if pixels.shape[2] == 1 else pixels
    image = Image.fromarray(np.ascontiguousarray(plain))
    scale = THUMBNAIL / max(image.size)
    size = round(image.width * scale) or 1, round(image.height * scale) or 1
    text = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC).save(text, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(text.getvalue()).decode()}"

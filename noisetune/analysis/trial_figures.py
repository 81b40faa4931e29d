"""Figures of one trial, as PNG: its curves, and the confusion of its labels."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from noisetune.predictions import Integers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curves = Mapping[str, Mapping[int, float]]
"""Metrics by name, each by epoch."""

MOST_NAMED = 20
"""Classes that fit beside a matrix by their names."""
PANELS = {
    "accuracy": ("val/accuracy", "test/accuracy"),
    "loss": ("train/loss", "val/loss", "test/loss"),
    "memorised": ("detect/memorisation",),
}
DASHES = ("-", "--", ":")


def curves_figure(curves: Curves) -> bytes | None:
    """Accuracy, loss and memorisation by fine-tuning epoch; None where there is none of it."""
    panels = {
        title: [name for name in names if curves.get(name)] for title, names in PANELS.items()
    }
    shown = {title: names for title, names in panels.items() if names}
    if not shown:
        return None
    figure = _figure(len(shown))
    for place, (title, names) in enumerate(shown.items()):
        axes = figure.add_subplot(1, len(shown), place + 1)
        for name, dash in zip(names, DASHES, strict=False):
            steps = sorted(curves[name])
            axes.plot(steps, [curves[name][step] for step in steps], dash, label=name)
        axes.set(title=title, xlabel="fine-tuning epoch")
        axes.legend(fontsize="small")
    return _png(figure)


def confusion_figure(
    matrices: Mapping[tuple[str, str], Integers], class_names: Sequence[str]
) -> bytes:
    """Each matrix by its share of a row, in which row sums are 1."""
    figure = _figure(len(matrices))
    for place, ((rows, columns), matrix) in enumerate(matrices.items()):
        axes = figure.add_subplot(1, len(matrices), place + 1)
        sums = matrix.sum(axis=1, keepdims=True).clip(min=1)
        axes.imshow(matrix / sums, vmin=0, vmax=1, cmap="Blues")
        axes.set(title=f"{rows} / {columns}", xlabel=columns, ylabel=rows)
        _name_classes(axes, class_names)
    return _png(figure)


def _name_classes(axes: "Axes", class_names: Sequence[str]) -> None:
    if len(class_names) <= MOST_NAMED:
        places = range(len(class_names))
        axes.set_xticks(places, class_names, rotation=90, fontsize="x-small")
        axes.set_yticks(places, class_names, fontsize="x-small")


def _figure(panels: int) -> "Figure":
    # Imported here: it takes a second, and most commands draw nothing.
    from matplotlib.figure import Figure

    return Figure(figsize=(4 * panels, 3.4), layout="constrained")


def _png(figure: "Figure") -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100, metadata={"Software": None})
    return out.getvalue()

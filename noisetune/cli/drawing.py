"""A running sweep as it is drawn on a terminal, or told in a line."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from noisetune.analysis.fitting import Fitted
from noisetune.analysis.tables import plain_table
from noisetune.sweep.watch.snapshot import Slot, Snapshot
from noisetune.texts import counted

CALM_SECONDS = 60.0
"""Between two lines that say where a sweep stands, where no table can be drawn in place."""


def draws(console: Console) -> bool:
    """Whether a table can be drawn in place: on a terminal that can go back in it."""
    return console.is_terminal and not console.is_dumb_terminal


@dataclass(frozen=True)
class Drawing:
    """Where a sweep stands, as tables; on a terminal of as many conditions as its height leaves
    room for beside a third of it for running trials, those where something runs first, and of as
    many of these as there is room for then."""

    now: Snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not console.is_terminal:
            yield self._with(len(self.now.counts), len(self.now.slots))
            return
        third = console.height // 3

        def fits(conditions: int, slots: int) -> bool:
            # The last line is the cursor's.
            lines = console.render_lines(self._with(conditions, slots), options, pad=False)
            return len(lines) < console.height

        def most(total: int, fits: Callable[[int], bool]) -> int:
            # No more fit than there are lines.
            choices = range(min(total, console.height) + 1)
            return max(0, bisect_left(choices, True, key=lambda many: not fits(many)) - 1)

        conditions = most(len(self.now.counts), lambda many: fits(many, third))
        slots = max(third, most(len(self.now.slots), lambda many: fits(conditions, many)))
        yield self._with(conditions, slots)

    @cached_property
    def _running_first(self) -> list[str]:
        """The conditions, in their order, those that a slot works on before the others."""
        now = self.now
        at_work = {
            name for name in now.counts for slot in now.slots if slot.trial.startswith(f"{name} ")
        }
        return sorted(now.counts, key=lambda name: name not in at_work)

    def _with(self, conditions: int, slots: int) -> RenderableType:
        now = self.now
        parts: list[RenderableType] = [Text(calm_line(now))]
        if now.slots:
            parts += ["", Fitted(_slots_table(now, slots))]
        if (more := len(now.slots) - slots) > 0:
            parts += [Text(f"and {counted(more, 'more trial')}: `noisetune status --json` has all")]
        if now.last:
            parts += ["", Text("\n".join(["ended last", *now.last]))]
        if conditions:
            parts += ["", Fitted(_conditions_table(now, self._running_first[:conditions]))]
        if more := len(now.counts) - conditions:
            parts += [Text(f"and {counted(more, 'more condition')}: `noisetune status` has all")]
        return Group(*parts)


def calm_line(now: Snapshot) -> str:
    """Where a sweep stands, in a line."""
    return "; ".join(_words(now))


def _words(now: Snapshot) -> Iterator[str]:
    yield f"{now.ended} of {counted(now.size, 'trial')} ended, {len(now.slots)} running"
    if now.per_hour is not None:
        yield f"{now.per_hour:.3g} trials an hour"
    if now.hours_left is not None:
        low, high = map(_span, now.hours_left)
        yield f"{low} left" if low == high else f"{low} to {high} left"
    if now.gpu_budget is not None:
        yield f"{now.gpu_hours:.3g} of {now.gpu_budget:g} GPU hours used"
    elif now.gpu_hours:
        yield f"{now.gpu_hours:.3g} GPU hours used"


def _span(hours: float) -> str:
    minutes = round(60 * hours)
    if minutes < 1:
        return "under a minute"
    return f"{minutes} min" if minutes < 120 else f"{hours:.3g} h"


def _slots_table(now: Snapshot, most: int) -> Table:
    table = plain_table("running")
    for heading in ("trial", "stage"):
        table.add_column(heading)
    for heading in ("epoch", now.metric, "for"):
        table.add_column(heading, justify="right")
    for slot in now.slots[:most]:
        value = "" if slot.value is None else f"{slot.value:.3f}"
        table.add_row(slot.trial, slot.stage, _epoch(slot), value, _span(slot.seconds / 3600))
    return table


def _epoch(slot: Slot) -> str:
    if not slot.step:
        return ""
    return str(slot.step) if slot.steps is None else f"{slot.step} of {slot.steps}"


def _conditions_table(now: Snapshot, names: Iterable[str]) -> Table:
    table = plain_table("conditions")
    table.add_column("condition")
    for heading in ("done", "pruned", "failed", "replicates", f"best {now.metric}"):
        table.add_column(heading, justify="right")
    for name in names:
        counts = now.counts[name]
        best = f"{now.best[name]:.4f}" if name in now.best else ""
        kinds = ("complete", "pruned", "failed", "replicates")
        table.add_row(name, *(str(counts.get(kind) or "") for kind in kinds), best)
    return table

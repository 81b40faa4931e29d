"""The live table of a sweep: what runs, what ended, what is best so far."""

from collections import Counter

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from noisetune.records import GATE, MetricPoint, TrialRecord, TrialResult
from noisetune.sweep.log import end_line
from noisetune.texts import counted


class LiveTable:
    """Watches a sweep for the terminal; where there is none, a line tells of each ended trial."""

    def __init__(
        self,
        console: Console,
        conditions: list[str],
        totals: dict[str, int],
        metric: str,
        maximize: bool = True,
        gated: bool = False,
        verbose: bool = False,
    ) -> None:
        self.console, self.metric, self.totals = console, metric, totals
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in conditions}
        self.best: dict[str, float] = {}
        self.running: dict[str, tuple[TrialRecord, str]] = {}
        self.maximize, self.gated, self.verbose = maximize, gated, verbose
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=2)

    def __enter__(self) -> "LiveTable":
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def count(self, records: list[TrialRecord]) -> None:
        """Start from what earlier runs of the sweep left."""
        for record in records:
            if record.state != "running" and not record.replaced:
                self._count(record)

    def started(self, trial: TrialRecord) -> None:
        self.running[trial.name] = (trial, "starting")

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        # Every encoder is looked at before fine-tuning; that says something where a gate is set.
        if point.stage == GATE and not self.gated:
            return
        value = point.values.get(self.metric)
        shown = "" if value is None else f" {self.metric} {value:.3f}"
        self.running[trial.name] = (trial, f"{point.stage} {point.step}{shown}")

    def ended(self, trial: TrialRecord, result: TrialResult | None) -> None:
        self.running.pop(trial.name, None)
        self._count(trial)
        if self.verbose or not self.console.is_terminal:
            self.console.print(end_line(trial, self.metric), soft_wrap=True, markup=False)

    def _count(self, trial: TrialRecord) -> None:
        column = "replicates" if trial.kind == "replicate" else trial.state
        self.counts[trial.condition][column] += 1
        if trial.objective is not None and trial.kind == "search":
            choose = max if self.maximize else min
            before = self.best.get(trial.condition, trial.objective)
            self.best[trial.condition] = choose(before, trial.objective)

    def _render(self) -> RenderableType:
        table = Table(title="conditions", title_justify="left")
        table.add_column("condition", overflow="fold")
        for heading in ("done", "pruned", "failed", "replicates", f"best {self.metric}"):
            table.add_column(heading, justify="right")
        for name, counts in self.counts.items():
            best = f"{self.best[name]:.4f}" if name in self.best else ""
            shown = [str(counts[key] or "") for key in ("complete", "pruned", "failed")]
            table.add_row(name, *shown, str(counts["replicates"] or ""), best)
        ended = sum(counts.total() for counts in self.counts.values())
        # Comparisons may have asked for more replicates since.
        total = max(sum(self.totals.values()), ended + len(self.running))
        table.caption = f"{ended} of {counted(total, 'trial')} ended"
        now = Table.grid(padding=(0, 2))
        for trial, state in list(self.running.values()):
            now.add_row(f"running: {trial.name}", state)
        return Group(table, now)

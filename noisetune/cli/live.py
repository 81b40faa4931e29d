"""A sweep while it runs, on the terminal: what each slot does, what ended, what is best so far."""

import threading

from rich.console import Console
from rich.live import Live

from noisetune.cli.drawing import CALM_SECONDS, Drawing, calm_line, draws
from noisetune.records import MetricPoint, TrialRecord
from noisetune.sweep.log import end_line
from noisetune.sweep.study.watcher import Watcher
from noisetune.sweep.watch.progress import Progress


class LiveTable(Watcher):
    """Watches a sweep for the terminal.

    Where no table can be drawn, a line tells of each trial that ended, and once a minute one of
    where the sweep stands. A verbose one tells of ends always.
    """

    def __init__(self, console: Console, progress: Progress, verbose: bool = False) -> None:
        self.console, self.progress, self.verbose = console, progress, verbose
        self._draws, self._over = draws(console), threading.Event()
        self._live = Live(
            get_renderable=lambda: Drawing(progress.snapshot()),
            console=console,
            refresh_per_second=2,
        )
        self._minutes = threading.Thread(target=self._tell_calmly, name="minutes", daemon=True)

    def __enter__(self) -> "LiveTable":
        self._live.start() if self._draws else self._minutes.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._draws:
            self._live.stop()

    def started(self, trial: TrialRecord) -> None:
        self.progress.started(trial)

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        self.progress.point(trial, point)

    def ended(self, trial: TrialRecord) -> None:
        self.progress.ended(trial)
        if self.verbose or not self._draws:
            line = end_line(trial, self.progress.config.objective.metric)
            self.console.print(line, soft_wrap=True, markup=False)

    def _tell_calmly(self) -> None:
        while not self._over.wait(CALM_SECONDS):
            self.console.print(calm_line(self.progress.snapshot()), soft_wrap=True, markup=False)

"""How far a sweep is, for who watches it in the driver."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from noisetune.records import GATE, MetricPoint, TrialRecord
from noisetune.sweep.log import end_line
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.spec.pretrain_gate import PretrainGate
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.watcher import Watcher
from noisetune.sweep.watch.pace import HOUR, Pace, Running
from noisetune.sweep.watch.snapshot import Slot, Snapshot

LAST_ENDED = 5
LOOK_SECONDS = 10.0


class Progress(Watcher):
    """Watches a sweep of these `conditions` from what the ledger knows on; threads may look at it.

    The ledger is asked in the watcher's own thread alone.
    """

    def __init__(
        self,
        conditions: Sequence[str],
        config: SweepConfig,
        ledger: Ledger,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.config, self.ledger, self.clock = config, ledger, clock or time.monotonic
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in conditions}
        self.best: dict[str, float] = {}
        self.running: dict[str, Running] = {}
        self.last: deque[str] = deque(maxlen=LAST_ENDED)
        self._gated = config.pretrain_gate != PretrainGate()
        self._pace = Pace()
        self._began = self._looked = self.clock()
        self._ended, self._most = 0, 1
        self._spent, self._size = ledger.spent, ledger.size or 0
        self._lock = threading.RLock()

    @classmethod
    def of(cls, sweep: Sweep, ledger: Ledger) -> "Progress":
        """Of a sweep, from what earlier drivers left."""
        progress = cls([each.name for each in sweep.conditions], sweep.config, ledger)
        progress.count(ledger.records(sweep.cells))
        return progress

    def count(self, records: Sequence[TrialRecord]) -> None:
        """Take trials as ended that ended before."""
        for record in records:
            if record.state != "running" and not record.replaced:
                self._count(record)

    def started(self, trial: TrialRecord) -> None:
        with self._lock:
            self.running[trial.name] = Running(trial, self.clock())
            self._most = max(self._most, len(self.running))
            self._look()

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        # Every encoder is looked at before fine-tuning; that says something where a gate is set.
        if point.stage == GATE and not self._gated:
            return
        with self._lock:
            now = self.running.setdefault(trial.name, Running(trial, self.clock()))
            if now.stage == point.stage and point.step > now.step and now.made < point.made:
                self._pace.epoch(point.stage, (point.made - now.made) / (point.step - now.step))
            now.stage, now.step, now.made = point.stage, point.step, point.made
            now.value = point.values.get(self.config.objective.metric, now.value)
            self._look()

    def ended(self, trial: TrialRecord) -> None:
        with self._lock:
            if (ran := self.running.pop(trial.name, None)) is not None:
                self._pace.trials.append(self.clock() - ran.since)
            self._ended += 1
            self._count(trial)
            self.last.append(end_line(trial, self.config.objective.metric))
            self._look()

    def snapshot(self) -> Snapshot:
        """Where the sweep stands now."""
        with self._lock:
            ended = sum(counts.total() for counts in self.counts.values())
            ran = (self.clock() - self._began) / HOUR
            return Snapshot(
                metric=self.config.objective.metric,
                ended=ended,
                # Comparisons may have asked for more replicates since.
                size=max(self._size, ended + len(self.running)),
                counts={name: dict(counts) for name, counts in self.counts.items()},
                best=dict(self.best),
                slots=[self._slot(each) for each in self.running.values()],
                last=list(self.last),
                per_hour=self._ended / ran if self._ended and ran else None,
                hours_left=self._hours_left(ended),
                hours=self._spent.get("hours", 0.0),
                gpu_hours=self._spent.get("gpu_hours", 0.0),
                gpu_budget=self.config.budget.gpu_hours,
            )

    def _count(self, trial: TrialRecord) -> None:
        column = "replicates" if trial.kind == "replicate" else trial.state
        self.counts[trial.condition][column] += 1
        if trial.objective is not None and trial.kind == "search":
            choose = max if self.config.objective.maximize else min
            before = self.best.get(trial.condition, trial.objective)
            self.best[trial.condition] = choose(before, trial.objective)

    def _look(self) -> None:
        """Ask the ledger once in a while what was spent, and whether the sweep grew."""
        if self.clock() - self._looked >= LOOK_SECONDS:
            self._looked = self.clock()
            self._spent, self._size = self.ledger.spent, self.ledger.size or self._size

    def _slot(self, now: Running) -> Slot:
        seconds, steps = self.clock() - now.since, now.epochs(now.stage)
        return Slot(now.trial.name, now.stage, now.step, steps, now.value, seconds)

    def _hours_left(self, ended: int) -> tuple[float, float] | None:
        running = self.running.values()
        to_come = max(0, self._size - ended - len(running))
        return self._pace.hours_left(running, to_come, self._most, self.clock())

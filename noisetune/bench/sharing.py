"""What sharing stages saves: a paper-shaped sweep, shared and each trial for itself."""

import itertools
import math
import operator
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noisetune.bench.other_work import MachineWatch
from noisetune.bench.rounds import Spent, Until, Versus, ratio_figures, take_rounds
from noisetune.bench.sweep_watch import SweepWatch
from noisetune.bench.whole import check_whole
from noisetune.records import GATE, PRETRAIN, MetricPoint, TrialRecord, TrialResult
from noisetune.sweep.execution.launch import ray_session, slots_of
from noisetune.sweep.home import Home, Site
from noisetune.sweep.run import drive
from noisetune.sweep.spec.config import parse_sweep
from noisetune.sweep.spec.resources import Resources
from noisetune.sweep.spec.space import SearchSpace
from noisetune.sweep.spec.sweep import Sweep
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.watcher import Watcher

RATES = (0.2, 0.4, 0.6, 0.8)
METHODS = ("none", "simclr", "barlow_twins")
WHEN_PRETRAINED = {"pretrain.method": ("simclr", "barlow_twins")}
FINETUNING = 5
"""The longest pre-training, in fine-tunings: 50 epochs to 10, as in the paper."""
RATIOS = {"alone to shared": Versus(over=("alone",), under="shared")}


@dataclass
class Span:
    """One trial: what it pre-trains, and when it was handed out, through the gate, and over."""

    method: str
    epochs: int
    handed: float
    gate: float = math.inf
    over: float = math.inf


@dataclass
class Stopwatch(SweepWatch):
    """Watches a sweep: which pre-training epochs were really computed, and what stages took.

    `wall` is the seconds from its first trial to the end of its last.
    """

    computed: set[tuple[float, int]] = field(default_factory=set)
    made: dict[tuple[str, int], float] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: list[tuple[str, dict[str, float]]] = field(default_factory=list)
    wall: float = 0.0

    @contextmanager
    def watching(self, sweep: Sweep, ledger: Ledger) -> Iterator[Sequence[Watcher]]:
        began = time.monotonic()
        yield [self]
        self.wall = time.monotonic() - began

    def started(self, trial: TrialRecord) -> None:
        pretrain = trial.config["pretrain"]
        epochs = pretrain.get("epochs", 0)
        self.spans[trial.name] = Span(pretrain["method"], epochs, time.time())

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        span = self.spans[trial.name]
        if point.stage == GATE:
            span.gate = time.time()
        elif point.stage == PRETRAIN:
            # A replayed point has its first timestamp: it is no epoch of its own.
            self.computed.add((point.made, point.step))
            self.made.setdefault((span.method, point.step), point.made)

    def result(self, trial: TrialRecord, result: TrialResult) -> None:
        self.results[_settings(trial)] = dict(result.metrics())
        self.seconds.append((self.spans[trial.name].method, result.seconds))

    def ended(self, trial: TrialRecord) -> None:
        super().ended(trial)
        self.spans[trial.name].over = time.time()

    def idle_share(self, slots: int) -> float:
        """Share of slot time that was idle while a trial that was not handed out could have run."""
        spans = list(self.spans.values())
        first, last = min(span.handed for span in spans), max(span.over for span in spans)
        times = sorted(
            {first, last, *self.made.values()}
            | {moment for span in spans for moment in (span.handed, span.gate, span.over)}
        )
        idle = 0.0
        for begin, end in itertools.pairwise(moment for moment in times if first <= moment <= last):
            busy = sum(span.handed <= begin < span.over for span in spans)
            if busy < slots and any(self._could_start(span, begin) for span in spans):
                idle += (end - begin) * (slots - busy)
        return idle / (slots * (last - first))

    def _could_start(self, span: Span, moment: float) -> bool:
        if span.handed <= moment:
            return False
        if span.epochs == 0 or self.made.get((span.method, span.epochs), math.inf) <= moment:
            return True
        return not any(
            other.method == span.method and other.handed <= moment < other.gate
            for other in self.spans.values()
        )


def paper_shaped(epochs: tuple[int, ...], width: int, name: str) -> Sweep:
    """2 SSL methods and scratch, 4 noise rates, pre-training epochs crossed with 2 rates."""
    space = SearchSpace.model_validate(
        {
            "conditions": {"noise.rate": RATES, "pretrain.method": METHODS},
            "parameters": {
                "pretrain.epochs": {"choices": epochs, "when": WHEN_PRETRAINED},
                "finetune.lr": {"choices": (1e-3, 3e-3)},
            },
        }
    )
    config = parse_sweep(
        {
            "name": name,
            "search_space": "sharing",
            "trial": {
                "data": {"name": "digits"},
                "model": {"name": "resnet18", "width": width},
                "pretrain": {"batch_size": 128, "hidden": 256},
                "finetune": {"epochs": max(1, max(epochs) // FINETUNING), "batch_size": 128},
            },
            "sampler": {"name": "grid"},
            "pruner": {"name": "none"},
            "trials_per_condition": 2 * len(epochs),
            "replicates": 0,
        },
        "bench sharing",
    )
    return Sweep.prepare(config, space)


def measure_sharing(epochs: tuple[int, ...], width: int, until: Until) -> dict[str, Any]:
    """Run the sweep both ways in turns, in one Ray session; pairs are each trial for itself, then
    shared, as medians over rounds.

    `share_of_bound` is the wall ratio over the best that any order of trials could reach;
    `idle_share` the part of slot time that was idle while a trial could have run.
    """
    alone, shared = list[Stopwatch](), list[Stopwatch]()

    def part(watches: list[Stopwatch], stages: bool) -> Spent:
        watches.append(watch := Stopwatch())
        cpu = machine.spent_by(lambda: _drive(epochs, width, stages, watch)).cpu
        return Spent(watch.wall, cpu)

    with ray_session(Resources()):
        machine, slots = MachineWatch(), slots_of(paper_shaped(epochs, width, "sharing").config)
        ways = {"alone": lambda: part(alone, False), "shared": lambda: part(shared, True)}
        rounds = take_rounds(ways, RATIOS, until)
        other_work = machine.so_far()
    pairs = list(zip(alone, shared, strict=True))
    computed = [len(way[0].computed) for way in (alone, shared)]
    bounds = [_bound(*pair, slots) for pair in pairs]
    ratios = [one.wall / other.wall for one, other in pairs]
    return {
        "slots": slots,
        "trials": len(alone[0].results),
        "same_results": all(each.results == alone[0].results for each in [*alone, *shared]),
        "pretrain_epochs": computed,
        "pretrain_epochs_ratio": computed[0] / computed[1],
        "wall_seconds": [statistics.median(each.wall for each in way) for way in (alone, shared)],
        "cpu_seconds": [statistics.median(each[way].cpu for each in rounds) for way in ways],
        "wall_ratio": statistics.median(ratios),
        "wall_ratio_bound": statistics.median(bounds),
        "share_of_bound": statistics.median(map(operator.truediv, ratios, bounds)),
        "idle_share": statistics.median(each.idle_share(slots) for each in shared),
        **ratio_figures(rounds, RATIOS, until),
        **other_work.figures(),
    }


def _drive(epochs: tuple[int, ...], width: int, stages: bool, watch: Stopwatch) -> None:
    """The sweep, run in a home of its own, with a store of stages there or none."""
    with _temporary_home() as home:
        site = Site(home, str(home.stages) if stages else None)
        check_whole(drive(paper_shaped(epochs, width, "sharing"), site, watch))


def _bound(alone: Stopwatch, shared: Stopwatch, slots: int) -> float:
    """The wall ratio that no order of trials could beat, from the stage times of both runs.

    Each trial for itself, all slots busy, over the larger of: the shared work with all slots
    busy; the longest pre-training with what must follow it.
    """
    everything = sum(sum(seconds.values()) for _, seconds in alone.seconds)
    # A stored stage tells the time that it took when it was made: the longest is the whole run.
    pretraining: dict[str, float] = {}
    after = []
    for method, seconds in shared.seconds:
        rest = dict(seconds)
        spent = rest.pop(PRETRAIN, 0.0)
        pretraining[method] = max(pretraining.get(method, 0.0), spent)
        after.append(sum(rest.values()))
    work = sum(pretraining.values()) + sum(after)
    chain = max(pretraining.values()) + min(after)
    return (everything / slots) / max(work / slots, chain)


def _settings(trial: TrialRecord) -> str:
    return repr((sorted(trial.factors.items()), sorted(trial.parameters.items())))


@contextmanager
def _temporary_home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="noisetune-bench-") as folder:
        yield Home(Path(folder))

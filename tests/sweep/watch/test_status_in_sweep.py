"""The file that other terminals look into, while a sweep runs."""

from pathlib import Path
from typing import Any

from real_sweep import SWEEP, TRIAL, without_ray

from noisetune import run_sweep
from noisetune.records import MetricPoint, TrialRecord
from noisetune.sweep.home import Home
from noisetune.sweep.study.watcher import Watcher
from noisetune.sweep.watch.snapshot import Snapshot, read_snapshot


class Elsewhere(Watcher):
    """A watcher that looks into the file, as another terminal would."""

    def __init__(self, file: Path) -> None:
        self.file, self.seen = file, list[Snapshot]()

    def started(self, trial: TrialRecord) -> None:
        self._look()

    def point(self, trial: TrialRecord, point: MetricPoint) -> None:
        self._look()

    def ended(self, trial: TrialRecord) -> None:
        self._look()

    def _look(self) -> None:
        now = read_snapshot(self.file)
        assert now is not None
        self.seen.append(now)


def test_the_file_is_there_while_the_sweep_runs(tmp_path: Path) -> None:
    elsewhere = Elsewhere(Home(tmp_path).status_file("mine"))
    given: dict[str, Any] = {**SWEEP, "name": "mine", "trial": TRIAL}
    space = {"parameters": {"finetune.lr": {"choices": [0.001, 0.003]}}}
    with without_ray():
        run_sweep(given, space, mlruns=tmp_path, watchers=[elsewhere])
    assert {now.size for now in elsewhere.seen} == {2}
    assert elsewhere.seen[0].counts == {"all": {}}
    assert not elsewhere.file.exists()

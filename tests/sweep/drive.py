"""A driver of its own: runs a sweep with its own Ray, and writes down what it saw.

Usage: python drive.py FOLDER, which holds orders.json with `home`, `space` and `sweep`. It makes
the file `ready` there once it can start, starts when there is a file `go`, notes in `ended` which
trials have, and leaves result.json.
"""

import json
import sys
import time
from pathlib import Path

from real_sweep import Seen, prepare, run

from noisetune.records import TrialRecord
from noisetune.sweep.execution.launch import ray_session
from noisetune.sweep.home import Home
from noisetune.sweep.spec.resources import Resources


class Noting(Seen):
    """Says of each trial at once that it has ended."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file

    def ended(self, trial: TrialRecord) -> None:
        super().ended(trial)
        with self.file.open("a") as notes:
            notes.write(f"{trial.name}\n")


def main(folder: Path) -> None:
    told = json.loads((folder / "orders.json").read_text())
    sweep, seen = prepare(told["space"], **told["sweep"]), Noting(folder / "ended")
    with ray_session(Resources()):
        (folder / "ready").touch()
        while not (folder / "go").exists():
            time.sleep(0.05)
        scheduler = run(Home(Path(told["home"])), sweep, [seen])
    points = [(name, point.stage, point.step, point.made) for name, point in seen.points]
    states = {name: trial.state for name, trial in seen.ends.items()}
    result = {"finished": scheduler.finished, "states": states, "points": points}
    (folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

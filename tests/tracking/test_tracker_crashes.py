import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fake_server import LONG, TRIAL, Server, say
from hypothesis import given, settings
from hypothesis import strategies as st

from noisetune.tracking import tracker as module
from noisetune.tracking.outbox import Outbox
from noisetune.tracking.tracker import Tracker


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.01)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)


def first_seen(numbers: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


crashes = st.lists(st.tuples(st.integers(0, 12), st.booleans(), st.integers(0, 20)), max_size=5)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@settings(deadline=None, max_examples=100)
@given(crashes)
def test_a_crash_at_any_place_loses_nothing_and_tells_no_second_story(
    crashes: list[tuple[int, bool, int]],
) -> None:
    """Each process dies after some messages of a batch, or in the middle of a line."""
    server, said = Server(), 0
    with TemporaryDirectory() as folder:
        file = Path(folder) / "outbox.jsonl"
        for taken, before_the_note, torn in crashes:
            # SystemExit ends the thread at once and in silence, as a kill does.
            server.apply_before_failing = [(taken, SystemExit if before_the_note else OSError)]
            tracker = Tracker(Outbox(file), server.connect, patience=0.0)
            say(tracker, range(said, said + 7))
            said += 7
            tracker._given_up.set()
            tracker._new.set()
            tracker._thread.join(LONG)
            with file.open("ab") as writer:
                writer.write(b'{"kind":"point","step":99'[:torn])
        server.apply_before_failing = []
        assert Tracker(Outbox(file), server.connect).close()
    assert first_seen(server.numbers) == list(range(said))
    steps = [b - a for a, b in zip(server.numbers, server.numbers[1:], strict=False)]
    assert all(step <= 1 for step in steps), "a message was left out"


DRIVER = """
import json, sys, time
from pathlib import Path
from noisetune.tracking import tracker as module
from noisetune.tracking.messages import new_message
from noisetune.tracking.outbox import Outbox
from noisetune.tracking.telling import Receiver
from noisetune.tracking.tracker import Tracker

module.FLUSH_SECONDS, module.MESSAGES_AT_ONCE = 0.002, 7
folder = Path(sys.argv[1])


class Told(Receiver):
    def apply(self, messages):
        for message in messages:
            with (folder / "told").open("a") as file:
                file.write(json.dumps(message["n"]) + "\\n")
            time.sleep(0.0005)


outbox = Outbox(folder / "outbox.jsonl")
tracker = Tracker(outbox, Told)
for number in range(sum(1 for _ in outbox.all()), 100_000):
    tracker._say(new_message("point", n=number))
    print(number, flush=True)
    time.sleep(0.0003)
"""


def test_a_killed_process_loses_nothing_of_what_it_said(tmp_path: Path) -> None:
    draw, acknowledged = random.Random(0), -1
    for _ in range(4):
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert driver.stdout is not None
        for _ in range(draw.randrange(20, 120)):
            acknowledged = int(driver.stdout.readline())
        os.kill(driver.pid, signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, driver.stdout.read().split())])
        driver.wait()
    outbox = Outbox(tmp_path / "outbox.jsonl")
    said = [message["n"] for message in outbox.all()]
    assert said == list(range(len(said)))
    assert len(said) > acknowledged > 0
    told = [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]
    left = [message["n"] for _, message in outbox.unread()]
    assert told
    assert first_seen(told + left) == said


def test_an_end_that_a_killed_driver_did_not_say_is_said_by_the_next(tmp_path: Path) -> None:
    server = Server()
    states = ["complete", "pruned", "failed", "running", "complete"]
    trials = [
        replace(TRIAL, name=f"trial {number}", number=number, state=state, reason=f"why {number}")
        for number, state in enumerate(states)
    ]
    tracker = Tracker(Outbox(tmp_path / "outbox.jsonl"), server.connect)
    for trial in trials:
        tracker.started(trial)
    tracker.ended(trials[0])
    tracker.interrupted(trials[1])
    tracker.interrupted(trials[3])
    assert tracker.close()
    server.told.clear()
    tracker = Tracker(Outbox(tmp_path / "outbox.jsonl"), server.connect)
    tracker.catch_up(trials)
    tracker.catch_up(trials)
    assert tracker.close()
    ends = [each for each in server.told if each["kind"] == "ended"]
    assert [(each["trial"], each["state"], each["reason"]) for each in ends] == [
        ("trial 1", "pruned", "why 1"),
        ("trial 2", "failed", "why 2"),
        ("trial 4", "complete", "why 4"),
    ]

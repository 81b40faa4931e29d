import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_server import LONG, TRIAL, Server, say

from noisetune.records import TrialResult, flatten
from noisetune.tracking import tracker as module
from noisetune.tracking.files import Checked
from noisetune.tracking.messages import Message
from noisetune.tracking.outbox import Outbox
from noisetune.tracking.telling import Receiver
from noisetune.tracking.tracker import Tracker


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.01)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "outbox.jsonl"


def test_everything_is_told_once_and_in_its_order(file: Path) -> None:
    server = Server()
    tracker = Tracker(Outbox(file), server.connect)
    tracker.sweep("running", {"name": "s"})
    tracker.started(TRIAL)
    say(tracker, [1, 2])
    result = TrialResult({}, {}, {}, {}, {})
    tracker.result(TRIAL, result)
    tracker.ended(replace(TRIAL, state="complete", metrics={"a": 1.0}))
    tracker.tags(TRIAL.name, {"best": "yes"})
    tracker.artifact("best.yaml", "a: 1")
    assert tracker.close()
    kinds = [message["kind"] for message in server.told]
    assert kinds == ["sweep", "started", "point", "point", "result", "ended", "tags", "artifact"]
    assert server.told[1]["parameters"] == {"noise.rate": 0.4, "finetune.lr": 0.01}
    assert server.told[1]["config"] == TRIAL.config
    assert server.told[2]["made"] == 1.0
    assert server.told[4]["result"] == result.to_json()
    assert (server.connections, tracker.left) == (1, 0)


def test_an_interrupted_trial_is_no_result(file: Path) -> None:
    server = Server()
    tracker = Tracker(Outbox(file), server.connect)
    tracker.interrupted(TRIAL)
    assert tracker.close()
    told = server.told[0]
    assert (told["kind"], told["state"], told["values"]) == ("ended", "interrupted", {})
    assert "resume" in told["reason"]


def test_the_driver_does_not_wait_for_a_server_that_hangs(file: Path) -> None:
    server, release = Server(), threading.Event()

    def hang() -> Server:
        release.wait(LONG)
        return server.connect()

    tracker = Tracker(Outbox(file), hang, patience=0.05)
    say(tracker, range(300))
    assert not tracker.close()
    assert (server.told, tracker.left) == ([], 300)
    release.set()


def test_what_a_closed_tracker_left_is_told_by_the_next(file: Path) -> None:
    server = Server()
    server.away = True
    tracker = Tracker(Outbox(file), server.connect, patience=0.05)
    say(tracker, range(5))
    assert not tracker.close()
    assert tracker.left == 5
    tracker._thread.join(LONG)
    assert not tracker._thread.is_alive()
    server.away = False
    assert Tracker(Outbox(file), server.connect).close()
    assert server.numbers == list(range(5))


def test_an_abandoned_tracker_delivers_nothing_more(file: Path) -> None:
    server = Server()
    server.away = True
    tracker = Tracker(Outbox(file), server.connect)
    say(tracker, [1, 2])
    tracker.abandon()
    server.away = False
    assert not tracker._thread.is_alive()
    assert (server.told, tracker.left) == ([], 2)


def test_a_server_that_comes_back_is_told_though_nothing_new_is_said(file: Path) -> None:
    server = Server()
    server.away = True
    tracker = Tracker(Outbox(file), server.connect)
    say(tracker, [1])
    while server.refusals < 3:
        time.sleep(0.005)
    server.away = False
    server.waits_for(1)
    assert tracker.close()
    assert server.numbers == [1]


def test_an_outage_is_warned_of_once_and_its_end_told(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    server.away = True
    tracker = Tracker(Outbox(file), server.connect)
    while server.refusals < 5:
        time.sleep(0.005)
    server.away = False
    assert tracker.close()
    assert ["nobody there" in record.message for record in caplog.records] == [True, False]


def test_a_batch_that_arrived_by_half_is_told_again_to_a_new_connection(file: Path) -> None:
    server = Server()
    server.apply_before_failing = [(2, ConnectionError)]
    fill = Outbox(file)
    for step in range(4):
        fill.append({"kind": "point", "step": step})
    assert Tracker(fill, server.connect).close()
    assert server.numbers == [0, 1, 0, 1, 2, 3]
    assert server.connections == 2


def test_what_is_refused_for_ever_is_set_aside_and_the_rest_told(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, outbox = Server(), Outbox(file)
    server.refused = {2, 5}
    for step in range(7):
        outbox.append({"kind": "point", "trial": "t", "step": step})
    for _ in range(2):
        assert Tracker(outbox, server.connect).close()
        outbox.deliver_up_to(0)
    assert server.numbers == [0, 1, 3, 4, 6] * 2
    aside = [json.loads(line) for line in outbox.refused.read_text().splitlines()]
    assert [each["message"]["step"] for each in aside] == [2, 5]
    assert [each["reason"] for each in aside] == ["never 2", "never 5"]
    assert len(caplog.records) == 2


def test_a_server_that_was_emptied_is_told_all_again(file: Path) -> None:
    class Keeping(Server):
        kept = ""

        def keep(self, note: str) -> None:
            self.kept = note

    server = Keeping()
    tracker = Tracker(Outbox(file), server.connect)
    say(tracker, [1, 2])
    assert tracker.close()
    older = server.kept
    tracker = Tracker(Outbox(file), server.connect)
    say(tracker, [3])
    assert tracker.close()
    for kept, told in ((older, [3]), ("", [1, 2, 3]), ("7 of another file", [1, 2, 3])):
        server = Keeping()
        server.kept = kept
        assert Tracker(Outbox(file), server.connect).close()
        assert server.numbers == told


def test_a_long_backlog_goes_in_batches_without_pauses_between(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MESSAGES_AT_ONCE", 10)
    monkeypatch.setattr(module, "FLUSH_SECONDS", 100 * LONG)
    outbox, server = Outbox(file), Server()
    for step in range(95):
        outbox.append({"step": step})
    tracker = Tracker(outbox, server.connect)
    server.waits_for(95)
    assert server.batches == [10] * 9 + [5]
    assert tracker.close()


def test_close_waits_on_while_the_server_takes_what_waits(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MESSAGES_AT_ONCE", 1)
    outbox, server = Outbox(file), Server()

    class Slow(Receiver):
        def apply(self, messages: Sequence[Message]) -> None:
            time.sleep(0.02)
            server.apply(messages)

    for step in range(40):
        outbox.append({"step": step})
    assert Tracker(outbox, Slow, patience=0.2).close()
    assert server.numbers == list(range(40))


def test_where_nothing_is_said_nothing_is_done(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    unread = Outbox.unread

    def counted(outbox: Outbox) -> Iterator[tuple[int, Message]]:
        nonlocal looks
        looks += 1
        return unread(outbox)

    monkeypatch.setattr(Outbox, "unread", counted)
    server = Server()
    tracker = Tracker(Outbox(file), server.connect)
    say(tracker, [1])
    server.waits_for(1)
    time.sleep(0.1)
    before = looks
    time.sleep(0.2)
    assert looks == before
    say(tracker, [2])
    server.waits_for(2)
    assert tracker.close()


@pytest.mark.parametrize("closing", [False, True])
def test_what_is_said_just_after_the_last_look_is_told_too(
    file: Path, monkeypatch: pytest.MonkeyPatch, closing: bool
) -> None:
    unread, server, late = Outbox.unread, Server(), [2]

    def interrupted(outbox: Outbox) -> Iterator[tuple[int, Message]]:
        found = list(unread(outbox))
        if not found and server.told and late:
            say(tracker, [late.pop()])
            if closing:
                tracker._closing.set()
        return iter(found)

    monkeypatch.setattr(Outbox, "unread", interrupted)
    tracker = Tracker(Outbox(file), server.connect)
    say(tracker, [1])
    server.waits_for(2)
    assert tracker.close()
    assert server.numbers == [1, 2]


@pytest.mark.parametrize(
    ("tree", "flat"),
    [
        ({}, {}),
        ({"a": 1, "b": {"c": {"d": [2]}, "e": None}}, {"a": 1, "b.c.d": [2], "b.e": None}),
        ({"a": {}}, {}),
    ],
)
def test_nested_settings_become_dotted_names(tree: dict[str, Any], flat: dict[str, Any]) -> None:
    assert flatten(tree) == flat


def test_a_tracker_of_a_sweep_that_another_drives_asks_for_nothing(file: Path) -> None:
    server = Server()
    tracker = Tracker(Outbox(file), server.connect, mine=lambda: False)
    say(tracker, [1])
    assert not tracker.close()
    assert server.connections == 0


def test_each_call_is_checked_before_it_is_made() -> None:
    calls: list[str] = []
    client = Checked(SimpleNamespace(log=calls.append), lambda: calls.append("check"))
    client.log("row")
    assert calls == ["check", "row"]

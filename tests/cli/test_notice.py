"""`--notify`: one POST with name, state and counts alone, which never stops a sweep."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from noisetune.cli.notice import Notice, state_of
from noisetune.errors import MachineError, UserError


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    """A server that keeps what it is told: `url`, `told`; it answers with `status`."""
    kept = SimpleNamespace(told=[], status=200)

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            kept.told.append((self.path, json.loads(self.rfile.read(length))))
            self.send_response(kept.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        kept.url = f"http://127.0.0.1:{served.server_port}/secret"
        yield kept
        served.shutdown()


def outcome(states: list[str], **scheduler: Any) -> Any:
    scheduled = {"finished": True, "fault": None} | scheduler
    ledger = SimpleNamespace(records=lambda cells: [SimpleNamespace(state=s) for s in states])
    return SimpleNamespace(
        scheduler=SimpleNamespace(**scheduled), ledger=ledger, sweep=SimpleNamespace(cells=[])
    )


def test_the_end_is_told_once_with_counts(server: SimpleNamespace) -> None:
    with Notice(server.url).of("mine") as notice:
        notice.outcome = outcome(["complete", "pruned", "complete"])
    told = {"sweep": "mine", "state": "finished", "counts": {"complete": 2, "pruned": 1}}
    assert server.told == [("/secret", told)]


@pytest.mark.parametrize(
    ("error", "state"),
    [(MachineError("/secret/path"), "failed"), (KeyboardInterrupt(), "stopped")],
    ids=["failed", "stopped"],
)
def test_a_failure_is_told_without_its_words_and_goes_on(
    server: SimpleNamespace, error: BaseException, state: str
) -> None:
    with pytest.raises(type(error)), Notice(server.url).of("mine"):
        raise error
    assert server.told == [("/secret", {"sweep": "mine", "state": state, "counts": {}})]


@pytest.mark.parametrize(
    ("scheduler", "state"),
    [
        ({}, "finished"),
        ({"finished": False}, "stopped"),
        ({"finished": False, "fault": "the disk is full"}, "failed"),
    ],
)
def test_a_state_is_a_word(scheduler: dict[str, Any], state: str) -> None:
    assert state_of(outcome([], **scheduler)) == state


def test_a_notice_that_does_not_arrive_is_one_line_without_the_address(
    server: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    server.status = 500
    for url in (server.url, "http://127.0.0.1:1/secret"):
        with Notice(url).of("mine") as notice:
            notice.outcome = outcome([])
        said = capsys.readouterr()
        assert said.out.startswith("--notify: 127.0.0.1 was not told (")
        assert (said.out.count("\n"), said.err) == (1, "")
        assert "secret" not in said.out


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "chat.lab", "http://"])
def test_only_the_web_is_told(url: str) -> None:
    with pytest.raises(UserError, match=r"--notify: .* http:// or https://"):
        Notice(url)

"""`--notify`: one notice at the end of a sweep, or when it fails."""

import json
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from noisetune.cli.common import console
from noisetune.errors import UserError

if TYPE_CHECKING:
    from noisetune.sweep.outcome import Outcome

SECONDS = 10.0

NotifyOption = Annotated[
    str | None,
    typer.Option(
        "--notify",
        envvar="NOISETUNE_NOTIFY",
        help="A URL that gets one POST when the sweep ends or fails: name, state and counts.",
    ),
]


class Notice:
    """What is told to a URL about a sweep; nothing where there is none.

    UserError for an address that is not http. No file may name one: what is told, and to whom, is
    the word of who types the command.
    """

    def __init__(self, url: str | None) -> None:
        parts = urlsplit(url or "http://none")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(
                "--notify: is no web address; give one that begins with http:// or https://"
            )
        self.url, self.host = url, parts.hostname
        self.outcome: Outcome | None = None

    @contextmanager
    def of(self, name: str) -> Iterator["Notice"]:
        """Told once when what is inside has ended, with its `outcome`, or failed."""
        state = "failed"
        try:
            yield self
            state = "failed" if self.outcome is None else state_of(self.outcome)
        except KeyboardInterrupt:
            state = "stopped"
            raise
        finally:
            if self.url is not None:
                self._post({"sweep": name, "state": state, "counts": self._counts()})

    def _counts(self) -> dict[str, int]:
        if self.outcome is None:
            return {}
        records = self.outcome.ledger.records(self.outcome.sweep.cells)
        return dict(Counter(each.state for each in records))

    def _post(self, notice: dict[str, object]) -> None:
        """One try. A line where it fails: addresses of this kind are secrets, so the host alone."""
        try:
            request = urllib.request.Request(
                str(self.url),
                data=json.dumps(notice).encode(),
                headers={"Content-Type": "application/json"},
                method="POST",
            )
            urllib.request.urlopen(request, timeout=SECONDS).close()
        except Exception as error:
            why = type(error).__name__ if str(self.url) in str(error) else error
            line = f"--notify: {self.host} was not told ({why})"
            console.print(line, soft_wrap=True, markup=False)


def state_of(outcome: "Outcome") -> str:
    """`finished`, also with failed trials, which are counted; `stopped` by a signal or a budget;
    `failed` where the machine did."""
    if outcome.scheduler.fault is not None:
        return "failed"
    return "finished" if outcome.scheduler.finished else "stopped"

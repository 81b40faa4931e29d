"""What ends a sweep before its time: Ctrl-C, SIGTERM of a batch system, SIGHUP of a terminal."""

import errno
import os
import signal
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NAMES = {signal.SIGINT: "Ctrl-C"}
TUNES = signal.SIGUSR1
"""The signal at which Ray Tune ends a run after the step that it is in."""


class Stopped(KeyboardInterrupt):
    """A signal ended the command at once; `signal` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {_name(number)}")
        self.signal = number


class Stop:
    """A request to stop; `signal` is its number, None where there was none.

    While it is `heard` each of the signals raises Stopped; while trials are run `gently` the first
    one has Tune end them after their step, and `say` is told what is waited for. A signal that is
    ignored from the start, as under nohup, stays so.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.signal: int | None = None
        self._say, self._gentle = say, False
        self._heard: tuple[signal.Signals, ...] = ()

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Take the signals; only a process's main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.getsignal(each) or signal.SIG_DFL for each in SIGNALS}
        self._heard = tuple(each for each in SIGNALS if before[each] != signal.SIG_IGN)
        self.listen()
        try:
            yield
        finally:
            self._heard = ()
            for number, handler in before.items():
                signal.signal(number, handler)

    def listen(self) -> None:
        """Take them once more: a Ray that starts puts handlers of its own in their place."""
        for each in self._heard:
            signal.signal(each, self._received)

    @contextmanager
    def gently(self) -> Iterator[None]:
        """While trials run in Tune, which sets a handler for its own signal."""
        if not self._heard:
            yield
            return
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
        before = signal.signal(TUNES, self._too_early)
        self._gentle = True
        try:
            yield
        finally:
            self._gentle = False
            signal.signal(TUNES, before or signal.SIG_DFL)
            self.listen()

    def _received(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            let_go_of_lost_terminal()
        first, self.signal = self.signal is None, self.signal or number
        if not (first and self._gentle):
            raise Stopped(number)
        line = (
            f"stopping ({_name(number)}): waiting for the trials that run to end their step, then "
            "for MLflow to take what is left; once more ends it at once"
        )
        # By a thread: the signal may have come in the middle of a write.
        threading.Thread(target=self._say, args=(line,), daemon=True).start()
        signal.raise_signal(TUNES)

    def _too_early(self, number: int, frame: FrameType | None) -> None:
        raise Stopped(self.signal or number)


def let_go_of_lost_terminal() -> None:
    """Write to nowhere in place of a terminal that was closed: what is still to be done is more
    than to fail at a line."""
    for stream in (1, 2):
        try:
            termios.tcgetattr(stream)
        except termios.error as error:
            if error.args[0] == errno.EIO:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


@contextmanager
def deaf_children() -> Iterator[None]:
    """Processes that are started here end with this one, and not by a signal to all of its group,
    as terminals and batch systems send it: the driver needs its Ray to end in good order."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _name(number: int) -> str:
    known = signal.Signals(number)
    return NAMES.get(known, known.name)

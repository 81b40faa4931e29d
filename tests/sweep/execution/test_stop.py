"""Signals: the first one ends trials gently, any other one the command."""

import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from noisetune.sweep.execution.stop import SIGNALS, TUNES, Stop, Stopped, deaf_children


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Whatever handlers there are, they are the same afterwards."""
    before = {each: signal.getsignal(each) for each in (*SIGNALS, TUNES)}
    yield
    assert {each: signal.getsignal(each) for each in before} == before


@pytest.mark.parametrize("number", SIGNALS)
def test_between_trials_a_signal_ends_the_command(number: signal.Signals) -> None:
    stop = Stop(print)
    with pytest.raises(Stopped) as ended, stop.heard():
        signal.raise_signal(number)
    assert ended.value.signal == stop.signal == number


@pytest.mark.parametrize("number", SIGNALS)
def test_while_trials_run_the_first_one_is_passed_on_to_tune(number: signal.Signals) -> None:
    said, told = list[str](), threading.Event()
    heard = list[int]()
    stop = Stop(lambda line: (said.append(line), told.set()))
    with stop.heard():
        with stop.gently():
            signal.signal(TUNES, lambda number, frame: heard.append(number))
            signal.raise_signal(number)
            assert heard == [TUNES]
            assert told.wait(10)
            with pytest.raises(Stopped):
                signal.raise_signal(number)
        assert stop.signal == number
    assert "waiting for the trials that run" in said[0]


def test_before_tune_listens_nothing_is_lost() -> None:
    stop = Stop(lambda line: None)
    with pytest.raises(Stopped), stop.heard(), stop.gently():
        signal.raise_signal(signal.SIGTERM)


def test_what_is_ignored_from_the_start_stays_so() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = Stop(print)
    try:
        with stop.heard():
            signal.raise_signal(signal.SIGHUP)
        assert stop.signal is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_set_again_over_those_of_a_ray_that_started() -> None:
    stop = Stop(print)
    with stop.heard():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stop.listen()
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)


def test_a_thread_hears_nothing_and_sets_nothing() -> None:
    failed = list[BaseException]()

    def heard() -> None:
        try:
            with Stop(print).heard():
                pass
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=heard)
    thread.start()
    thread.join()
    assert failed == []


def test_processes_that_are_started_meanwhile_do_not_hear() -> None:
    program = "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))"
    with deaf_children():
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "SIGHUP" in done.stdout
    assert "SIGTERM" in done.stdout
    assert not {signal.SIGHUP, signal.SIGTERM} & signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_terminal_that_is_gone_is_written_to_no_more() -> None:
    program = (
        "import sys\n"
        "from noisetune.sweep.execution.stop import let_go_of_lost_terminal as go\n"
        "print('here', flush=True); sys.stdin.readline(); go(); print('lost', flush=True)\n"
        "open(sys.argv[1], 'w').write('went on')"
    )
    master, slave = pty.openpty()
    read, write = os.pipe()
    command = [sys.executable, "-c", program, f"/proc/self/fd/{write}"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=slave, stderr=slave, pass_fds=[write]
    )
    os.close(slave)
    os.close(write)
    shown = b""
    while not shown.endswith(b"\n"):  # a terminal hands a line on in parts
        shown += os.read(master, 100)
    assert shown == b"here\r\n"
    os.close(master)
    process.communicate(b"\n", timeout=60)
    assert process.returncode == 0
    assert os.read(read, 100) == b"went on"
    os.close(read)

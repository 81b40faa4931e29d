"""What may be taken of memory, and how threads share it."""

import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noisetune import memory
from noisetune.errors import UserError
from noisetune.memory import (
    LIMIT,
    Shares,
    keep_freed_memory,
    memory_limit,
    require_memory,
    unpacked_bytes,
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with 1000 bytes free, and the folder of the limits of its container, which has none."""
    monkeypatch.delenv(LIMIT, raising=False)
    free = SimpleNamespace(available=1000)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr(memory, "CONTAINER", tmp_path)
    return tmp_path


def test_three_quarters_of_what_is_free_may_be_taken(machine: Path) -> None:
    assert memory_limit() == 750
    require_memory(750, "data.path: it")
    with pytest.raises(UserError, match=r"data.path: it would take 7.51e-07 GB .*three quarters"):
        require_memory(751, "data.path: it")


@pytest.mark.parametrize(
    ("most", "used", "kept", "limit"),
    [("max", 10, 0, 750), ("500", 100, 0, 300), ("500", 400, 300, 300), ("500", 600, 50, 0)],
)
def test_a_container_has_a_limit_of_its_own(
    machine: Path, most: str, used: int, kept: int, limit: int
) -> None:
    """Files that it keeps in memory are no obstacle."""
    (machine / "memory.max").write_text(f"{most}\n")
    (machine / "memory.current").write_text(f"{used}\n")
    halves = f"inactive_file {kept // 2}\nactive_file {kept - kept // 2}\n"
    (machine / "memory.stat").write_text(f"anon 1\n{halves}")
    assert memory_limit() == limit


def test_the_user_says_what_may_be_taken(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, "4G")
    assert memory_limit() == 4 * 10**9
    with pytest.raises(UserError, match=r"set NOISETUNE_MEMORY \(now 4G\) to more"):
        require_memory(4 * 10**9 + 1, "it")
    monkeypatch.setenv(LIMIT, "much")
    with pytest.raises(UserError, match="NOISETUNE_MEMORY: much: write a number of bytes"):
        memory_limit()


def test_an_archive_takes_what_it_unpacks_to(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(10**6, np.uint8))
    assert (tmp_path / "a.npz").stat().st_size < 10**4
    assert unpacked_bytes(tmp_path / "a.npz") > 10**6
    torch.save({"a": torch.zeros(100)}, tmp_path / "a.pt")
    assert unpacked_bytes(tmp_path / "a.pt") >= 400
    (tmp_path / "plain").write_bytes(b"12345")
    assert unpacked_bytes(tmp_path / "plain") == 5


@given(st.lists(st.integers(0, 10), max_size=30))
def test_threads_never_take_more_than_there_is(wanted: list[int]) -> None:
    shares, lock = Shares(10), Lock()
    now = most = 0

    def work(share: int) -> int:
        nonlocal now, most
        with shares.taken(share):
            with lock:
                now += share
                most = max(most, now)
            with lock:
                now -= share
        return share

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, wanted)) == wanted
    assert most <= 10


def test_a_share_is_given_back_by_who_fails() -> None:
    shares, given_back = Shares(1), Event()
    with pytest.raises(ZeroDivisionError), shares.taken(1):
        raise ZeroDivisionError
    with shares.taken(1):
        given_back.set()
    assert given_back.is_set()


FAULTS = """
import resource, sys
from noisetune.memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
import numpy as np
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    np.ones(2**24, np.uint8), np.ones(2**24, np.uint8)
before = faults()
for _ in range(10):
    np.ones(2**24, np.uint8), np.ones(2**24, np.uint8)
sys.stdout.write(str(faults() - before))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than glibc's")
def test_memory_that_was_freed_is_taken_again_without_a_fault_for_each_page() -> None:
    given, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS, word], capture_output=True).stdout)
        for word in ("given back", "kept")
    )
    assert kept < given / 10


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: SimpleNamespace())
    keep_freed_memory()

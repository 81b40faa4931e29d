import errno
import gc
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import replace

import pytest

from noisetune.store import Artifact, LeaseLost, StageKey, Store, StoreFull, process
from noisetune.store import lease as leases
from noisetune.store.folder import Folder

fork = multiprocessing.get_context("fork")


def lease_path(key, number=1):
    return f"{key.stage}/{key.digest[:2]}/{key.digest}/lease-{number:06d}.json"


def beat_path(key, number=1):
    return lease_path(key, number).replace(".json", ".beat")


def lapse(store, key, number=1):
    """As if the heartbeat had been away for long."""
    store.backend.touch(lease_path(key, number), 1.0)
    if store.backend.exists(beat_path(key, number)):
        store.backend.touch(beat_path(key, number), leases.BEATS_BEGIN)


def heartbeats():
    return [thread for thread in threading.enumerate() if thread.name.startswith("lease ")]


def test_a_held_key_is_refused_and_says_who_holds_it(store, key):
    other = Store.open(store.url)
    with store.lease(key) as lease:
        assert other.lease(key) is None
        assert other.holder(key) == lease.owner
        assert f"process {os.getpid()} on {os.uname().nodename}" in str(other.holder(key))
    assert other.holder(key) is None
    with other.lease(key) as lease:
        assert lease.alive


def test_leases_on_different_keys_do_not_meet(store, key):
    with store.lease(key), store.lease(StageKey("pretrain", 2, {})) as second:
        assert second.alive


def test_release_twice_is_release_once(store, key):
    lease = store.lease(key)
    lease.release()
    successor = store.lease(key)
    lease.release()
    assert successor.alive
    assert not lease.alive
    successor.release()
    assert heartbeats() == []


def test_one_lease_file_remains_of_many(store, key):
    for _ in range(4):
        store.lease(key).release()
    names = store.backend.names(lease_path(key).rsplit("/", 1)[0])
    found = [name for name in names if not name.endswith(".touched")]
    assert found == ["lease-000004.beat", "lease-000004.json"]


def test_an_exception_releases(store, key):
    with pytest.raises(RuntimeError), store.lease(key):
        raise RuntimeError
    assert store.holder(key) is None


def test_a_generator_that_is_not_pulled_any_more_releases(store, key):
    def stage():
        with store.lease(key):
            yield

    closed, dropped = stage(), stage()
    next(closed)
    assert store.holder(key) is not None
    closed.close()
    assert store.holder(key) is None
    next(dropped)
    del dropped
    gc.collect()
    assert store.holder(key) is None
    assert heartbeats() == []


def test_a_forgotten_lease_is_given_back_and_its_thread_ends(store, key):
    lease = store.lease(key)
    assert len(heartbeats()) == 1
    del lease
    gc.collect()
    assert heartbeats() == []
    assert store.holder(key) is None


@pytest.mark.parametrize("store", ["folder", "memory"], indirect=True)
def test_the_heartbeat_keeps_a_lease_beyond_its_time_to_live(store, key):
    store.ttl = 0.6
    with store.lease(key) as lease:
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            assert store.lease(key) is None
            assert lease.alive
            time.sleep(0.05)


def test_a_lapsed_owner_may_not_publish_and_is_not_revived(store, key):
    store.ttl = 0.6
    with store.lease(key) as lease:
        lapse(store, key)
        time.sleep(0.5)
        assert not lease.alive
        with pytest.raises(LeaseLost, match="ask for a new lease"):
            store.publish(key, 1, Artifact(), lease)
        with store.lease(key) as fresh:
            store.publish(key, 1, Artifact(), fresh)
        with pytest.raises(LeaseLost):
            store.publish(key, 1, Artifact(), lease)
    assert store.steps(key) == [1]


def test_an_owner_whose_lease_was_taken_over_may_not_publish(store, key):
    with store.lease(key) as lease:
        lapse(store, key)
        with Store.open(store.url).lease(key) as successor:
            with pytest.raises(LeaseLost):
                store.publish(key, 1, Artifact(), lease)
            lease.release()
            assert successor.alive
        assert store.steps(key) == []


def test_the_newest_lease_counts_even_where_the_older_one_is_fresh(store, key):
    """Its successor died before it could clear the older one away."""
    with store.lease(key) as lease:
        store.backend.create(lease_path(key, 2), b"{}")
        assert not lease.alive
        assert "unknown host" in str(store.holder(key))


def test_a_lease_lost_while_writing_leaves_nothing(store, key, monkeypatch):
    """The token is looked at once more between the writing and the commit."""
    commit = store.backend.commit

    def slow_commit(folder, files, check):
        def check_late():
            lapse(store, key)
            check()

        commit(folder, files, check_late)

    monkeypatch.setattr(store.backend, "commit", slow_commit)
    with store.lease(key) as lease, pytest.raises(LeaseLost):
        store.publish(key, 1, Artifact(), lease)
    assert store.steps(key) == []


def test_a_contender_that_slept_through_later_leases_does_not_win(folder, key, monkeypatch):
    """It saw lease 1 lapsed; by the time it makes number 2, number 3 is held."""
    folder.lease(key).release()
    current = leases._current

    def sleepy(backend, path):
        monkeypatch.setattr(leases, "_current", current)
        seen = current(backend, path)
        folder.lease(key).release()
        holders.append(folder.lease(key))
        return seen

    holders = []
    monkeypatch.setattr(leases, "_current", sleepy)
    assert folder.lease(key) is None
    assert holders[0].alive
    assert folder.holder(key) == holders[0].owner
    holders[0].release()


@pytest.mark.parametrize("unreadable", [b"", b'{"host": "gpu', b'{"of": "another version"}'])
def test_an_unreadable_lease_counts_as_held_until_it_is_old(folder, key, unreadable):
    folder.backend.create(lease_path(key), unreadable)
    assert folder.lease(key) is None
    assert "unknown host" in str(folder.holder(key))
    lapse(folder, key)
    with folder.lease(key) as lease:
        assert lease.alive


def test_the_clocks_of_hosts_do_not_matter_in_a_folder(folder, key, monkeypatch):
    """A host whose clock is a day ahead meets a live lease, and a fresh one of its own is live."""
    real = time.time
    with folder.lease(key):
        monkeypatch.setattr(time, "time", lambda: real() + 86_400)
        assert folder.lease(key) is None
    with folder.lease(key) as ahead:
        monkeypatch.setattr(time, "time", real)
        assert ahead.alive
        assert folder.lease(key) is None


def run_forked(target, *arguments):
    process = fork.Process(target=target, args=arguments)
    process.start()
    return process


def hold(url, key, ready):
    lease = Store.open(url).lease(key)
    ready.send(lease is not None)
    signal.pause()


def test_the_lease_of_a_killed_process_is_free_at_once(folder, key):
    here, there = fork.Pipe()
    owner = run_forked(hold, folder.url, key, there)
    assert here.recv()
    assert folder.lease(key) is None
    assert folder.holder(key).pid == owner.pid
    os.kill(owner.pid, signal.SIGKILL)
    os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)
    with folder.lease(key) as lease:  # the owner is a zombie, nobody has waited for it
        assert lease.alive
    owner.join()
    assert folder.holder(key) is None


def publish_when_told(url, key, orders):
    store = Store.open(url, ttl=0.6)
    lease = store.lease(key)
    orders.send("leased")
    orders.recv()
    try:
        store.publish(key, 1, Artifact(), lease)
        orders.send("published")
    except LeaseLost as error:
        orders.send(repr(error))


def test_a_process_that_was_suspended_finds_its_lease_lost(folder, key):
    here, there = fork.Pipe()
    owner = run_forked(publish_when_told, folder.url, key, there)
    assert here.recv() == "leased"
    os.kill(owner.pid, signal.SIGSTOP)
    while (successor := folder.lease(key)) is None:
        time.sleep(0.05)
    with successor:
        here.send("publish")
        os.kill(owner.pid, signal.SIGCONT)
        assert "LeaseLost" in here.recv()
        owner.join()
        assert successor.alive
    assert folder.steps(key) == []


def test_a_dead_process_elsewhere_is_waited_for(folder, key, monkeypatch):
    """Its number may be free or another's here, so only the time to live tells."""
    here, there = fork.Pipe()
    owner = run_forked(hold, folder.url, key, there)
    assert here.recv()
    owner.kill()
    owner.join()
    monkeypatch.setattr(process, "process_space", lambda: "another host")
    monkeypatch.setattr(process, "boot", lambda: "another boot")
    assert folder.lease(key) is None
    lapse(folder, key)
    with folder.lease(key) as lease:
        assert lease.alive


def test_a_number_that_another_process_got_is_not_the_owner():
    mine = leases.LeaseInfo.mine(30.0)
    assert not mine.is_gone()
    assert replace(mine, started=mine.started - 1).is_gone()


class Clock:
    """The wall clock of the host whose file system the store is in, and a hand that sets it."""

    def __init__(self, monkeypatch):
        self.ahead, now, touch, wall = 0.0, Folder.now, Folder.touch, time.time

        def touch_ahead(backend, path, when=None):
            touch(backend, path, wall() + self.ahead if when is None else when)

        monkeypatch.setattr(Folder, "touch", touch_ahead)
        monkeypatch.setattr(Folder, "now", lambda backend: now(backend) + self.ahead)
        monkeypatch.setattr(time, "time", lambda: wall() + self.ahead)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.mark.parametrize("step", [-86_400.0, -3.0, 3.0, 40.0, 86_400.0])
def test_a_step_of_the_wall_clock_takes_no_living_lease(folder, key, clock, step):
    """Neither its owner nor another process of its host takes it for lapsed, then or later."""
    folder.ttl = 0.6
    with folder.lease(key) as lease:
        clock.ahead = step
        end = time.monotonic() + 0.9
        while time.monotonic() < end:
            assert lease.alive
            assert Store.open(folder.url).lease(key) is None
            time.sleep(0.05)


@pytest.mark.parametrize("step", [-86_400.0, 86_400.0])
def test_who_a_process_is_does_not_hang_on_the_wall_clock(folder, key, clock, step):
    here, there = fork.Pipe()
    owner = run_forked(hold, folder.url, key, there)
    assert here.recv()
    clock.ahead = step
    assert folder.holder(key).pid == owner.pid
    owner.kill()
    owner.join()
    assert folder.holder(key) is None


def test_a_step_back_does_not_keep_the_lease_of_a_process_that_sleeps(folder, key, clock):
    folder.ttl = 0.6
    here, there = fork.Pipe()
    owner = run_forked(publish_when_told, folder.url, key, there)
    assert here.recv() == "leased"
    os.kill(owner.pid, signal.SIGSTOP)
    clock.ahead = -86_400.0
    end = time.monotonic() + 30
    while (successor := folder.lease(key)) is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    successor.release()
    owner.kill()
    owner.join()


def test_other_hosts_go_by_the_clock_of_the_file_system(folder, key, clock, monkeypatch):
    with folder.lease(key):
        monkeypatch.setattr(process, "boot", lambda: "another boot")
        monkeypatch.setattr(process, "process_space", lambda: "another host")
        assert folder.lease(key) is None
        clock.ahead = 86_400.0
        assert folder.holder(key) is None


def test_a_lease_without_room_for_its_heartbeat_is_none(folder, key, monkeypatch):
    def full(backend, path, when=None):
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "touch", full)
        with pytest.raises(StoreFull):
            folder.lease(key)
    with folder.lease(key) as lease:
        assert lease.alive


def test_a_forked_child_does_not_end_its_parents_lease(folder, key):
    with folder.lease(key) as lease:
        child = run_forked(lease.release)
        child.join()
        assert child.exitcode == 0
        assert lease.alive
        assert folder.lease(key) is None


def contend(url, keys, barrier, wins):
    store = Store.open(url)
    for number, key in enumerate(keys):
        barrier.wait()
        lease = store.lease(key)
        barrier.wait()
        if lease is not None:
            with wins.get_lock():
                wins[number] += lease.alive
            lease.release()


def test_of_many_contenders_exactly_one_wins_each_time(folder):
    """For new keys, released ones, and ones whose owner is dead."""
    keys = [StageKey("pretrain", version, {}) for version in range(30)]
    for key in keys[10:20]:
        folder.lease(key).release()
    for key in keys[20:]:
        lease = folder.lease(key)
        lapse(folder, key)
        lease.release()
        lapse(folder, key)
    barrier, wins = fork.Barrier(8), fork.Array("i", len(keys))
    crowd = [run_forked(contend, folder.url, keys, barrier, wins) for _ in range(8)]
    for contender in crowd:
        contender.join()
    assert list(wins) == [1] * len(keys)


def take_turns(url, key, inside, counts, me):
    store, end = Store.open(url), time.monotonic() + 1.0
    while time.monotonic() < end:
        lease = store.lease(key)
        if lease is None:
            continue
        with lease:
            with inside.get_lock():
                inside.value += 1
                alone = inside.value == 1
            counts[me] += 1 if alone else 1_000_000
            with inside.get_lock():
                inside.value -= 1


def test_no_two_processes_are_ever_inside_one_lease(folder, key):
    inside, counts = fork.Value("i", 0), fork.Array("i", 6)
    crowd = [run_forked(take_turns, folder.url, key, inside, counts, me) for me in range(6)]
    for contender in crowd:
        contender.join()
    assert 6 < sum(counts) < 1_000_000

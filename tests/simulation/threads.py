"""Threads and events of a world, for a product that asks for those of `threading`."""

from collections.abc import Callable
from typing import Any

from world import Task, World


class Event:
    """As `threading.Event`, in a world."""

    def __init__(self, world: World) -> None:
        self._world, self._set = world, False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        until = float("inf") if timeout is None else self._world.now + timeout
        if not self._set and self._world.task is not None:
            self._world.pause(until, self.is_set)
        return self._set


class Thread:
    """As `threading.Thread`, in a world: of the process that starts it."""

    def __init__(
        self,
        world: World,
        target: Callable[..., Any],
        args: tuple[Any, ...] = (),
        name: str = "",
        daemon: bool = True,
    ) -> None:
        self._world, self._work, self._name = world, lambda: target(*args), name
        self._task: Task | None = None

    def start(self) -> None:
        assert self._world.task is not None
        self._task = self._world.spawn(self._world.task.process, self._name, self._work)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.over

    def join(self, timeout: float | None = None) -> None:
        until = float("inf") if timeout is None else self._world.now + timeout
        if self.is_alive() and self._world.task is not None:
            self._world.pause(until, lambda: not self.is_alive())

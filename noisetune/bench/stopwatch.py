"""How long this process is in some functions, call by call."""

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

Calls = dict[str, list[float]]


@contextmanager
def timed_calls(methods: Mapping[str, tuple[type, str]]) -> Iterator[Calls]:
    """The seconds of each call of some methods, by the names given to them: (class, method's name).

    A call within another counts in both.
    """
    calls: Calls = {name: [] for name in methods}
    with ExitStack() as stack:
        for name, (owner, method) in methods.items():
            timed = _timed(getattr(owner, method), calls[name])
            stack.enter_context(mock.patch.object(owner, method, timed))
        yield calls


def _timed(call: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    @functools.wraps(call)
    def timed(*given: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return call(*given, **named)
        finally:
            seconds.append(time.perf_counter() - began)

    return timed

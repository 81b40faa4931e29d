"""Distributed hyper-parameter sweeps for learning with noisy labels.

`run_sweep`, `run_trial` and `load_sweep` are what a notebook calls; each is imported when it is
first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noisetune.sweep.results import SweepResults, load_sweep
    from noisetune.sweep.run import run_sweep
    from noisetune.trial import run_trial

__all__ = ["SweepResults", "__version__", "load_sweep", "run_sweep", "run_trial"]
__version__ = "0.1.0"

_MODULES = {
    "SweepResults": "noisetune.sweep.results",
    "load_sweep": "noisetune.sweep.results",
    "run_sweep": "noisetune.sweep.run",
    "run_trial": "noisetune.trial",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})

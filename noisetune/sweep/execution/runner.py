"""Where trials run: in Ray, or in what plays its part."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from noisetune.sweep.execution.adapters import TuneSearcher
from noisetune.sweep.execution.slots import Host
from noisetune.sweep.execution.trainable import Pipeline
from noisetune.sweep.home import Home
from noisetune.sweep.spec.resources import Resources
from noisetune.sweep.spec.sweep import Sweep


class Runner(Protocol):
    """Runs the trials that a searcher hands out, and tells it and its scheduler what they say."""

    def session(
        self, resources: Resources, address: str | None, store: str | None
    ) -> AbstractContextManager[None]:
        """Within it there are hosts: those of the cluster at `address`, or this one. UserError
        where trials of these `resources` do not fit, or a host does not see the `store`."""

    def hosts(self) -> Sequence[Host]:
        """What each host has, by Ray's names for it."""

    def run(self, sweep: Sweep, home: Home, searcher: TuneSearcher, pipeline: Pipeline) -> None:
        """Run trials until the searcher has no more."""

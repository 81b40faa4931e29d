"""The settings that an exhaustive search has still to try."""

from collections.abc import Mapping, Sequence

from optuna.trial import FrozenTrial

from noisetune.section import Scalar
from noisetune.seeds import derive_seed
from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.spec.exhaustive import Setting, agrees, settings_in_order


class Untried:
    """The settings of a condition that no trial of a `search` has, in the order of trying them.

    The order follows from the sweep and that name alone, and what a trial has from the ledger:
    neither a resume nor trials side by side can double a setting or lose one. `repeats` are the
    trials, of a ledger that another sampler began, whose setting an earlier one has.
    """

    def __init__(
        self, condition: Condition, config: SweepConfig, search: str, trials: Sequence[FrozenTrial]
    ) -> None:
        seed = derive_seed("ask", config.seed, search) % 2**32
        self.settings = settings_in_order(condition, config.enqueue, seed)
        drawn = [trial.params for trial in trials if "config" in trial.user_attrs]
        tried = {frozenset(params.items()) for params in drawn}
        self.repeats = len(drawn) - len(tried)
        self.left = [each for each in self.settings if frozenset(each.items()) not in tried]
        self.left.reverse()

    def take(self, values: Mapping[str, Scalar]) -> Setting:
        """The first setting that is left and has these `values`, those drawn of it already."""
        for place in reversed(range(len(self.left))):
            if agrees(self.left[place], values):
                return self.left.pop(place)
        self.repeats += 1
        return next((each for each in self.settings if agrees(each, values)), self.settings[0])

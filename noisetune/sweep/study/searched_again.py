"""A condition whose replicates are searches of their own, each on a fresh seed."""

from optuna.pruners import BasePruner

from noisetune.sweep.spec.conditions import Condition
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.study.comparing import Arm, digest
from noisetune.sweep.study.condition_state import ConditionState
from noisetune.sweep.study.ledger import Ledger
from noisetune.sweep.study.search_state import SearchState


class SearchedAgain(ConditionState):
    """A condition that is searched again and again: the winner of each search is a replicate.

    A search that the budget cuts short is no replicate, and waits for a resume.
    """

    def __init__(
        self, condition: Condition, config: SweepConfig, ledger: Ledger, pruner: BasePruner
    ) -> None:
        super().__init__(condition, config)
        self._ledger, self._pruner = ledger, pruner
        self._begin(ledger.searches(condition.name))
        self.want(self.wanted)
        self.close()

    @property
    def size(self) -> int:
        """How many trials its searches are to have."""
        return sum(search.size for search in self.searches)

    def want(self, replicates: int) -> None:
        """So many searches it is to have from now on; of more that are there none goes on."""
        self.wanted = replicates
        self._begin(replicates)
        for search in self.searches:
            search.cut = search.seed > replicates

    def _begin(self, count: int) -> None:
        parts = self.condition, self.config, self._ledger, self._pruner
        more = range(len(self.searches) + 1, count + 1)
        self.searches += [SearchState(*parts, seed) for seed in more]

    def arm(self) -> Arm:
        """What its searches came to. The setting is the search itself: which parameters win in one
        seed or another is no new question."""
        closed = [search for search in self.searches if search.winner_number is not None]
        runs = [search.won for search in closed if search.won is not None]
        setting = digest({"search": self.config.search_trials})
        return self._arm(setting, runs, {search.seed for search in closed})

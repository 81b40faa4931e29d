"""Conditions that share a setting, beside those that each of them chooses for itself."""

from collections.abc import Sequence

from optuna.trial import TrialState

from noisetune.analysis.shared_choice import shared_winners
from noisetune.section import Scalar
from noisetune.sweep.study.ledger import record
from noisetune.sweep.study.search_state import SearchState


class Block:
    """The searches of conditions that are equal but in the factors over which they share."""

    def __init__(self, searches: Sequence[SearchState], maximize: bool) -> None:
        self.searches, self.maximize = searches, maximize
        self._counts: list[int] = []
        self._setting: dict[str, Scalar] | None = None

    @property
    def over(self) -> bool:
        """Whether the search of each condition is over."""
        return all(search.over for search in self.searches)

    def setting(self) -> dict[str, Scalar] | None:
        """What they share; None while one is searched, and where no setting is complete in all."""
        if not self.over:
            return None
        counts = [search.count for search in self.searches]
        if counts != self._counts:
            self._counts, self._setting = counts, self._chosen()
        return self._setting

    def _chosen(self) -> dict[str, Scalar] | None:
        records = [
            record(trial, search.condition.name, search.condition.factors, "search")
            for search in self.searches
            for trial in search.trials(TrialState.COMPLETE)
        ]
        block = [search.condition.name for search in self.searches]
        winners = shared_winners(records, [block], self.maximize)
        winner = winners.get(block[0])
        return None if winner is None else winner.parameters

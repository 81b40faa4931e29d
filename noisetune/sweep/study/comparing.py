"""What a sweep compares while it runs: the families it asks about, its claims, who grows.

All of it follows from the ledger: from which replicates have ended, in the order of their seeds,
and never from which of them ended first.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from noisetune.analysis.families import Pair, asked_pairs, with_new
from noisetune.analysis.question import Question
from noisetune.analysis.verdicts import Verdict, judge
from noisetune.records import Claim, Kind
from noisetune.store.keys import canonical, encode
from noisetune.sweep.spec.comparisons import POINT
from noisetune.sweep.spec.config import SweepConfig
from noisetune.sweep.study.ledger import Ledger

DIGITS = 16


@dataclass(frozen=True)
class Arm:
    """A condition in a comparison.

    `setting` names what it runs, "" while its search goes on and where nothing can be run. `values`
    are the clean accuracies (0..1) of its replicates by seed, of the leading ones that have all
    `ended`. `hopeless` says that no trial of its search is there to run again, `one_encoder` that
    its replicates share one.
    """

    setting: str = ""
    values: Mapping[int, float] = field(default_factory=dict)
    ended: int = 0
    hopeless: bool = False
    one_encoder: bool = False


def pairs_of(config: SweepConfig, cells: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Pair]:
    """The comparisons that a sweep asks for, of its conditions (name, factors), baseline second."""
    if config.objective.several:
        return []
    return asked_pairs(cells, config.comparisons.against, config.comparisons.every)


def question_of(
    ledger: Ledger, config: SweepConfig, cells: Sequence[tuple[str, Mapping[str, Any]]]
) -> Question:
    """What a sweep asks, for reading; one family of all its pairs where its ledger has none yet."""
    asked = config.comparisons
    families = ledger.families or with_new([], pairs_of(config, cells), {}, asked.level)
    adaptive = config.growing is not None
    return Question(tuple(families), asked.epoch, config.margin, tuple(ledger.claims), adaptive)


class Comparing:
    """Judges the comparisons of a sweep whenever a replicate has ended.

    `arm` gives a condition as it stands. `wanted` says how many replicates each is to have by now,
    `open` which comparisons may ask for more. A round goes on until both arms of each of these have
    as many as are wanted.
    """

    def __init__(
        self,
        config: SweepConfig,
        cells: Sequence[tuple[str, Mapping[str, Any]]],
        ledger: Ledger,
        arm: Callable[[str], Arm],
    ) -> None:
        self.config, self.ledger, self._look_up = config, ledger, arm
        self.names, self._cells = [name for name, _ in cells], cells
        self.families, self.claims = ledger.families, ledger.claims
        self._arms: dict[str, Arm] = {}
        self._looks: dict[int, float] = {}
        self._begin_rounds()

    @cached_property
    def pairs(self) -> list[Pair]:
        """What is asked for; of many conditions it takes a while, so not before that is needed."""
        return pairs_of(self.config, self._cells)

    def wanted(self) -> dict[str, int]:
        """How many replicates of its winner each condition is to have, as far as that is known."""
        self._advance()
        return self._wanted

    def join(self) -> None:
        """Write down what is asked, before a replicate begins that may answer it."""
        settings = {name: self._arm(name).setting for name in self.names}
        level = self.config.comparisons.level
        families = with_new(self.families, self.pairs, settings, level)
        if families != self.families:
            self.ledger.families = self.families = families
            self._looks.clear()
            self._begin_rounds()

    def changed(self, condition: str, kind: Kind) -> None:
        """A trial of a condition has ended; after a search trial another one may be its winner."""
        self._arms.pop(condition, None)
        if kind == "search":
            self._begin_rounds()

    def forget(self) -> None:
        """A search is over of which no trial has ended."""
        self._arms.clear()

    def look(self) -> None:
        """Write down what is established by now, once: what was claimed stays."""
        self._advance()
        known = {(each.a, each.b, each.kind, each.family) for each in self.claims}
        found = [
            claim
            for place in range(len(self.families))
            for verdict in self._verdicts_of(place)
            for claim in _claims(verdict)
        ]
        new = [each for each in found if (each.a, each.b, each.kind, each.family) not in known]
        if new:
            self.ledger.claims = self.claims = [*self.claims, *new]

    def _verdicts_of(self, place: int) -> list[Verdict]:
        """Those of a family, from as many replicates as all of its arms have that are to have
        more; none where it was looked at so before."""
        names = _arms_of(self.families[place].pairs)
        going_on = [self._arm(name).ended for name in names if self._goes_on(name)]
        ended = min(going_on, default=math.inf)
        if self._looks.get(place) == ended != math.inf:
            return []
        self._looks[place] = ended
        cut = dict.fromkeys(names, ended)
        verdicts = self._judged(cut, self.config.margin)
        return [verdict for verdict in verdicts if verdict.family == place]

    def _goes_on(self, name: str) -> bool:
        arm = self._arm(name)
        return not arm.hopeless and arm.ended < self._wanted[name]

    def _begin_rounds(self) -> None:
        self._wanted = dict.fromkeys(self.names, self.config.first_replicates)
        self._open = list(self.pairs) if self.config.growing else []

    def _advance(self) -> None:
        """Begin the rounds that follow from what has ended."""
        growing = self.config.growing
        while growing is not None and self._round_is_over():
            margin = growing.until.difference * POINT
            verdicts = {(each.a, each.b): each for each in self._judged(self._wanted, margin)}
            self._open = [
                pair
                for pair in self._open
                if verdicts[pair].open and self._wanted[pair[0]] < growing.at_most
            ]
            for name in _arms_of(self._open):
                self._wanted[name] += 1

    def _round_is_over(self) -> bool:
        """Whether there are open comparisons, and each of their arms has what is wanted."""
        arms = {name: self._arm(name) for name in _arms_of(self._open)}
        hopeless = {name for name, arm in arms.items() if arm.hopeless}
        self._open = [pair for pair in self._open if not hopeless.intersection(pair)]
        waiting = [name for name in _arms_of(self._open) if arms[name].ended < self._wanted[name]]
        return bool(self._open and self.families) and not waiting

    def _judged(self, cut: Mapping[str, float], margin: float | None) -> list[Verdict]:
        """Verdicts from the first replicates of each condition, as many as `cut` says."""
        arms = {name: self._arm(name) for name in self.names}
        groups = {
            name: {seed: value for seed, value in arm.values.items() if seed <= cut.get(name, 0)}
            for name, arm in arms.items()
        }
        untested = [name for name, arm in arms.items() if arm.one_encoder]
        return judge(self.families, groups, margin, untested)

    def _arm(self, name: str) -> Arm:
        if name not in self._arms:
            self._arms[name] = self._look_up(name)
        return self._arms[name]


def digest(settings: Mapping[str, Any]) -> str:
    """A short name of a setting: equal ones have the same on every machine."""
    return hashlib.sha256(encode(canonical(settings))).hexdigest()[:DIGITS]


def _arms_of(pairs: Iterable[Pair]) -> list[str]:
    """The conditions of these pairs, each once."""
    return list(dict.fromkeys(name for pair in pairs for name in pair))


def _claims(verdict: Verdict) -> list[Claim]:
    """What a verdict claims: a difference, and that it is smaller than the margin."""
    of = verdict.a, verdict.b
    claims = []
    if verdict.claim is not None and verdict.at_n is not None:
        claims.append(Claim(*of, verdict.claim, verdict.at_n, verdict.family, verdict.level))
    if verdict.equal_at_n is not None:
        claims.append(Claim(*of, "equal", verdict.equal_at_n, verdict.family, verdict.level))
    return claims

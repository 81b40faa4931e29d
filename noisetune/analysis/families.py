"""Families of comparisons: which questions a sweep asks, and at which level they are answered.

A family is what the question asks, fixed before its first replicate: methods against the baseline
of their group. Questions that come later form a family of their own, at half the level before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from noisetune.selection import group_of

ALPHA = 0.05
BASELINES = ("none", "scratch")
"""Values of a factor that others are compared with."""

Pair = tuple[str, str]
Cells = Sequence[tuple[str, Mapping[str, Any]]]
"""Conditions in their order: name and factors."""


@dataclass(frozen=True)
class Family:
    """Pairs of conditions, the baseline second, of which at most `level` claim falsely.

    `settings` names what each condition ran when it joined: a digest of its winner's parameters,
    or "" while that was not known. Another winner is another question.
    """

    pairs: tuple[Pair, ...]
    level: float
    settings: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Family":
        pairs = tuple((str(a), str(b)) for a, b in record["pairs"])
        return cls(pairs, float(record["level"]), dict(record["settings"]))


def asked_pairs(
    cells: Cells, against: Mapping[str, Any] | None = None, every: bool = False
) -> list[Pair]:
    """The pairs that a sweep asks about: of one group, and different in one factor.

    Its second is the one with the value that `against` names of that factor, by default a
    baseline; with `every`, and where no condition is a baseline, all such pairs are asked about.
    """
    factors, pairs = dict(cells), single_factor_pairs(cells)
    turned = [_reference_second(pair, factors, against) for pair in pairs]
    if every:
        return [known or pair for known, pair in zip(turned, pairs, strict=True)]
    reference = [known for known in turned if known is not None]
    return reference if reference or against is not None else pairs


def single_factor_pairs(cells: Cells) -> list[Pair]:
    """Pairs of one group, equal data and equal noise, that differ in one factor, as they come."""
    pairs = []
    for index, (first, factors) in enumerate(cells):
        for second, others in cells[index + 1 :]:
            same_group = group_of(factors) == group_of(others)
            if same_group and len(_differing(factors, others)) == 1:
                pairs.append((first, second))
    return pairs


def _reference_second(
    pair: Pair, factors: Mapping[str, Mapping[str, Any]], against: Mapping[str, Any] | None
) -> Pair | None:
    """The pair with its reference second; None where neither is one."""
    first, second = pair
    (field,) = _differing(factors[first], factors[second])
    if _is_reference(field, factors[second].get(field), against):
        return first, second
    if _is_reference(field, factors[first].get(field), against):
        return second, first
    return None


def _is_reference(field: str, value: Any, against: Mapping[str, Any] | None) -> bool:
    if against is None:
        return value in BASELINES
    return field in against and value == against[field]


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    return [field for field in first if first[field] != second.get(field)]


def with_new(
    families: Sequence[Family],
    pairs: Sequence[Pair],
    settings: Mapping[str, str],
    level: float = ALPHA,
) -> list[Family]:
    """The families of a sweep with one more for the `pairs` that none of them asks about.

    `settings` says what conditions run now. The k-th further family has the level / 2^k, so that
    all together claim falsely at most at twice the level.
    """
    known = [_told(family, settings) for family in families]
    asked = {pair for family in known for pair in family.pairs if _stands(family, pair, settings)}
    new = tuple(pair for pair in pairs if pair not in asked)
    if not new:
        return known
    arms = dict.fromkeys(name for pair in new for name in pair)
    joined = {name: settings.get(name, "") for name in arms}
    return [*known, Family(new, level / 2 ** len(known), joined)]


def _told(family: Family, settings: Mapping[str, str]) -> Family:
    """With the settings of conditions of which they were not known."""
    known = {name: said or settings.get(name, "") for name, said in family.settings.items()}
    return replace(family, settings=known)


def _stands(family: Family, pair: Pair, settings: Mapping[str, str]) -> bool:
    """Whether both arms still run what they ran when the family was made."""
    return all(settings.get(name, "") in ("", family.settings[name]) for name in pair)

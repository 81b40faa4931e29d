"""What a sweep compares, and how many seeds it takes for that."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from noisetune.errors import UserError
from noisetune.section import Scalar, Section
from noisetune.selection import Choice

if TYPE_CHECKING:
    from noisetune.sweep.spec.factors import Factor

FEWEST = 5
"""Replicates under which nothing is said of a difference."""
POINT = 0.01
"""A point of accuracy, as a share."""


class Comparisons(Section):
    """Which differences a sweep is asked for: those have verdicts, and no others.

    By default, among conditions of equal data and noise, each that differs from a baseline
    (`none`, `scratch`) in one factor; where no condition is one, every pair that differs in one.
    """

    epoch: Choice = "noisy_best"
    """The choice of epoch whose clean test accuracy is compared; tables of the others have no
    verdict."""
    against: dict[str, Scalar] | None = None
    """A factor and the value of it that all others are compared with: `{pretrain.method: none}`."""
    every: bool = False
    """Compare every pair of conditions that differs in one factor."""
    equal_within: float | None = Field(default=None, gt=0.0, le=100.0)
    """Points of accuracy: conditions whose difference is shown to be smaller are called equal."""
    level: float = Field(default=0.05, gt=0.0, le=0.5)
    """The chance, over all looks at what is compared from the beginning, that any claim is false.
    What joins later is judged at half of it, what joins after that at a quarter, and so on."""

    @field_validator("against")
    @classmethod
    def _one_factor(cls, against: dict[str, Scalar] | None) -> dict[str, Scalar] | None:
        if against is not None and len(against) != 1:
            raise ValueError(f"{against}: it is one factor with one of its values")
        return against

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.every and self.against is not None:
            raise ValueError("every: with `against` there is one baseline; take one of the two out")
        return self


class Until(Section):
    """When a comparison needs no more seeds, beside that a difference is established."""

    difference: float = Field(gt=0.0, le=100.0)
    """Points of accuracy within which its conditions are shown to be equal."""


class Growing(Section):
    """Seeds where they are needed: replicates are added in rounds, one to each condition of every
    comparison that has no answer yet. A condition that is in none keeps its first ones."""

    model_config = ConfigDict(serialize_by_alias=True)

    first: int = Field(default=FEWEST, ge=FEWEST, alias="from")
    """Replicates of every condition, before the first comparison is judged."""
    until: Until
    """What ends the rounds."""
    at_most: int = Field(default=20, ge=FEWEST)
    """Replicates of a condition, however open its comparisons are."""

    @model_validator(mode="after")
    def _room_to_grow(self) -> Self:
        if self.at_most < self.first:
            raise ValueError(
                f"at_most: {self.at_most} is under from: {self.first}; it must be as many or more"
            )
        return self


def _kind(written: Any) -> str:
    if isinstance(written, BaseModel):
        return type(written).__name__
    if not isinstance(written, Mapping):
        return "int"
    return "Searches" if {"of", "trials", "count"} & written.keys() else "Growing"


class Searches(Section):
    """Each replicate of a condition is its whole search again, on a fresh seed: a claim is then
    about the method, and not about the one setting that a search found.

    No other search runs. What a replicate is worth is that of its search's winner.
    """

    of: Literal["search"]
    """What is replicated."""
    trials: int = Field(ge=1)
    """Trials of each search, in the place of `trials_per_condition`."""
    count: Annotated[
        Annotated[int, Field(ge=1), Tag("int")] | Annotated[Growing, Tag("Growing")],
        Discriminator(_kind),
    ]
    """Searches of each condition: a number, or how they grow."""

    @model_validator(mode="before")
    @classmethod
    def _growth_is_a_count(cls, raw: Any) -> Any:
        for field in ("from", "until", "at_most"):
            if isinstance(raw, Mapping) and field in raw:
                raise ValueError(
                    f"{field}: how searches grow stands under count; write "
                    "count: {from: 5, until: {difference: 2.0}, at_most: 20}"
                )
        return raw


Replicates = Annotated[
    Annotated[int, Field(ge=0), Tag("int")]
    | Annotated[Growing, Tag("Growing")]
    | Annotated[Searches, Tag("Searches")],
    Discriminator(_kind),
]
"""A number of replicates, how they grow, or searches."""


def check_searched(replicates: int | Growing | Searches, parameters: bool) -> None:
    """UserError where searches are wanted again of a sweep that has no `parameters`."""
    if isinstance(replicates, Searches) and not parameters:
        raise UserError(
            "replicates.of: search: the search space has no parameters, so that there is nothing "
            "to search; give a number, for example replicates: 5"
        )


def check_against(comparisons: Comparisons, factors: "Mapping[str, Factor]") -> None:
    """UserError where the baseline that a sweep names is no value of a factor of its conditions."""
    for name, value in (comparisons.against or {}).items():
        if name not in factors:
            known = ", ".join(factors) or "there are none"
            raise UserError(
                f"comparisons.against: {name}: is no factor of the conditions; those: {known}"
            )
        values = list(factors[name])
        if not any(each == value and type(each) is type(value) for each in values):
            shown = ", ".join(map(str, values))
            raise UserError(
                f"comparisons.against: {name}: {value!r} is not among its values; those: {shown}"
            )

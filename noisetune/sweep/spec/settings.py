"""How many settings a sweep draws, and for what."""

from pydantic import Field

from noisetune.section import Section


class DrawnSettings(Section):
    """So many settings of all parameters, drawn once by a scrambled Sobol sequence: conditions of
    one method run the same ones, all of them to their end.

    Parameters are not sampled then: `sampler` is `grid` by itself and `pruner` `none`, and
    `trials_per_condition` counts for nothing.
    """

    drawn_once_per: str
    """The factor of the conditions whose values have settings of their own: `finetune.method`."""
    count: int = Field(ge=1, le=10_000)
    """Settings of each of its values; a resume may ask for more."""
    shared_across: tuple[str, ...] = ()
    """Factors over which one setting is chosen, too, beside that of each condition: for conditions
    that are equal in all others, the one whose rank by the objective is best on the mean. It is run
    again on as many seeds, and stands in a table of its own. A resume may add it."""

"""The sections of a report, a file each; one without data is left out."""

from collections.abc import Callable, Sequence

from noisetune.report.contents import Section
from noisetune.report.sections.answer import answer
from noisetune.report.sections.curves import curves
from noisetune.report.sections.detection import detection
from noisetune.report.sections.noise_rate import noise_rate
from noisetune.report.sections.parameters import parameters
from noisetune.report.sections.pretraining_epochs import pretraining_epochs
from noisetune.report.sections.pruning_and_cost import pruning_and_cost
from noisetune.report.sections.ranking import ranking
from noisetune.report.sections.repeat import repeat
from noisetune.report.sections.results import results
from noisetune.report.sections.selection import selection
from noisetune.report.sections.telemetry import telemetry
from noisetune.report.style import styled
from noisetune.report.view import SweepView

OF_A_SWEEP: tuple[Callable[[SweepView], Section | None], ...] = (
    answer,
    results,
    noise_rate,
    pretraining_epochs,
    curves,
    selection,
    detection,
    parameters,
    telemetry,
    pruning_and_cost,
    ranking,
    repeat,
)
OF_ITS_OWN = (parameters, telemetry, pruning_and_cost, ranking)
"""What is a sweep's own: of several sweeps side by side it says nothing."""
OF_A_COMPARISON = tuple(each for each in OF_A_SWEEP if each not in OF_ITS_OWN)


def sections_of(
    view: SweepView, kinds: Sequence[Callable[[SweepView], Section | None]] = OF_A_SWEEP
) -> list[Section]:
    """All that there is to show, in its order."""
    with styled():
        made = [kind(view) for kind in kinds]
    return [section for section in made if section is not None]

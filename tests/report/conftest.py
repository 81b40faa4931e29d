import pytest
from made_up_view import made_up_view

from noisetune.report.view import SweepView
from noisetune.report.writing import Report, report_of


@pytest.fixture(scope="session")
def view() -> SweepView:
    """A finished sweep of 99 trials."""
    return made_up_view()


@pytest.fixture(scope="session")
def searched() -> SweepView:
    """One with so many search trials that their parameters say something, and few replicates."""
    return made_up_view(searched=10, replicates=2)


@pytest.fixture(scope="session")
def report(view: SweepView) -> Report:
    return report_of(view)

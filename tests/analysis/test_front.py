import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from noisetune.analysis.fitting import Fitted
from noisetune.analysis.front import FrontPoint, beats, front_table, pareto_front
from noisetune.records import TrialRecord

GOALS = [True, False]  # accuracy up, cost down
values = st.tuples(*[st.integers(0, 4).map(float)] * 2)


def trial(
    number: int, objectives: tuple[float, ...], kind: str = "search", **more: object
) -> TrialRecord:
    given = {
        "name": f"all {'trial' if kind == 'search' else 'replicate'} {number}",
        "condition": "all",
        "factors": {},
        "kind": kind,
        "number": number,
        "state": "complete",
        "parameters": {"finetune.lr": number / 1000},
        "config": {"replicate": 0 if kind == "search" else number + 1},
        "objective": objectives[0] if objectives else None,
        "objectives": objectives,
        "metrics": {"test/accuracy_at_last": 0.5},
    }
    return TrialRecord(**{**given, **more})  # type: ignore[arg-type]


def names(points: list[FrontPoint]) -> list[str]:
    return [point.trial.name for point in points]


def test_the_front_holds_what_no_other_trial_beats() -> None:
    trials = [trial(0, (0.9, 9)), trial(1, (0.5, 9)), trial(2, (0.4, 1)), trial(3, (0.9, 10))]
    assert names(pareto_front(trials, GOALS)) == ["all trial 0", "all trial 2"]


@given(st.lists(values, min_size=1, max_size=8))
def test_every_other_trial_is_beaten_by_one_on_the_front(found: list[tuple[float, ...]]) -> None:
    trials = [trial(number, pair) for number, pair in enumerate(found)]
    front = [point.trial for point in pareto_front(trials, GOALS)]
    assert not any(beats(a, b, GOALS) for a in front for b in front)
    rest = [each for each in trials if each not in front]
    assert all(any(beats(a, b, GOALS) for a in front) for b in rest)


def test_each_condition_has_a_front_of_its_own() -> None:
    worse = trial(0, (0.1, 99), condition="other", name="other trial 0")
    assert names(pareto_front([trial(0, (0.9, 9)), worse], GOALS)) == [
        "all trial 0",
        "other trial 0",
    ]


def test_what_did_not_complete_is_on_no_front() -> None:
    failed = trial(1, (), state="failed")
    assert names(pareto_front([trial(0, (0.1, 9)), failed], GOALS)) == ["all trial 0"]


def test_replicates_stand_beside_their_trial_and_are_no_points() -> None:
    again = trial(
        0, (0.95, 9), kind="replicate", parameters={"finetune.lr": 0.0}, config={"replicate": 1}
    )
    (point,) = pareto_front([trial(0, (0.9, 9)), again], GOALS)
    assert point.trial.kind == "search"
    assert point.replicates["last"] == {1: 0.5}


def test_the_table_shows_every_goal_and_the_accuracy() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    points = pareto_front([trial(3, (0.875, 40))], GOALS)
    table = front_table(points, ["val/accuracy", "cost/passes"], oracle=False)
    console.print(Fitted(table), crop=False)
    text = console.export_text()
    for word in ("all trial 3", "0.875", "40", "(50.0)", "lr 0.003"):
        assert word in text

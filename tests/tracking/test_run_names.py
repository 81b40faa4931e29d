import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.texts import factors_text
from noisetune.tracking.run_names import WIDTH, Cells, condition_words, trial_mark

SOME = st.one_of(
    st.booleans(), st.integers(0, 999), st.floats(0, 1), st.none(), st.text("ab_/- 0.", max_size=9)
)


def crossed(factors: dict[str, list[Any]]) -> Cells:
    cells = [
        dict(zip(factors, values, strict=True)) for values in itertools.product(*factors.values())
    ]
    return [(factors_text(each), each) for each in cells]


def shown(cells: Cells, most: int, search: int = 0) -> list[str]:
    words = condition_words(cells, trial_mark("search", most, search))
    return [words[name].run_name("search", most, search) for name, _ in cells]


def test_names_are_the_values_that_vary_and_the_number() -> None:
    methods = ["none", "simclr", "barlow_twins"]
    cells = crossed({"noise.rate": [0.3, 0.6], "pretrain.method": methods, "data.name": ["digits"]})
    assert shown(cells, 5) == [
        *("r0.3 none t5", "r0.3 simclr t5", "r0.3 barlow t5"),
        *("r0.6 none t5", "r0.6 simclr t5", "r0.6 barlow t5"),
    ]
    words = condition_words(cells, "t5")[cells[1][0]]
    assert words.run_name("replicate", 3) == "r0.3 simclr R3"
    assert shown(cells, 5, search=3)[1] == "r0.3 simcl S3t5"
    assert shown(crossed({}), 5) == ["t5"]


@pytest.mark.parametrize(
    ("factors", "first"),
    [
        ({"finetune.frozen": [True, False], "noise.rate": [0.3, 0.6]}, "+f r0.3 t9"),
        ({"pretrain.epochs": [10, 50], "finetune.epochs": [10, 50]}, "epochs10 epochs10 t9"),
        ({"noise.rate": [0.2, 0.4], "noise.ratio": [1, 2]}, "rate0.2 rati1 t9"),
        ({"arm": ["scratch/long", "scratch/short"]}, "long t9"),
    ],
)
def test_a_number_has_the_beginning_of_its_factors_name(
    factors: dict[str, list[Any]], first: str
) -> None:
    given = shown(crossed(factors), 9)
    assert given[0] == (first if len(first) <= WIDTH else f"c0 t9 {first.removesuffix(' t9')}")


@given(
    st.dictionaries(
        st.text("abc.", min_size=1, max_size=6),
        st.lists(SOME, min_size=1, max_size=3, unique_by=str),
        max_size=4,
    ),
    st.integers(0, 99),
    st.integers(0, 9),
)
def test_what_is_seen_tells_all_conditions_apart(
    factors: dict[str, list[Any]], most: int, search: int
) -> None:
    cells = crossed(factors)
    seen = [name[:WIDTH] for name in shown(cells, most, search)]
    assert len(set(seen)) == len(dict(cells))

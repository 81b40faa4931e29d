import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_param_name

from noisetune.tracking.names import safe_name

ODD = ["", ".", "..", "../a", "/a", "a//b/", "a/./b", "x" * 249 + "/b", "x" * 300, "x" * 301]


@given(st.text(max_size=300))
@example("")
@example("..")
@example("x" * 300)
def test_a_safe_name_is_one_that_mlflow_takes(name: str) -> None:
    safe = safe_name(name)
    _validate_param_name(safe)
    assert len(safe) <= 250
    assert safe_name(safe) == safe


@pytest.mark.parametrize("name", ODD)
def test_an_odd_name_is_made_safe(name: str) -> None:
    _validate_param_name(safe_name(name))


@given(
    st.sets(st.text(st.sampled_from("ab?*/._- "), max_size=6) | st.sampled_from(ODD), min_size=2)
)
def test_no_two_names_become_one(names: set[str]) -> None:
    assert len({safe_name(name) for name in names}) == len(names)


@given(st.from_regex(r"[a-z]+([./][a-z_]+)*", fullmatch=True).filter(lambda name: len(name) < 251))
def test_a_name_that_mlflow_takes_stays(name: str) -> None:
    _validate_param_name(name)
    assert safe_name(name) == name

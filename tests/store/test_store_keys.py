import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.store import StageKey

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
INPUTS = st.dictionaries(st.text(max_size=3), VALUES, max_size=4)


def digest(inputs):
    return StageKey("pretrain", 1, inputs).digest


def reordered(value):
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


def same(a, b):
    """Python's equality, except that true is not 1."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and a == b


@given(INPUTS)
def test_the_order_of_names_does_not_matter(inputs):
    assert digest(inputs) == digest(reordered(inputs))


@given(INPUTS, INPUTS)
def test_digests_are_equal_exactly_when_the_inputs_are(a, b):
    assert (digest(a) == digest(b)) == same(a, b)


@given(VALUES, VALUES)
def test_one_changed_value_changes_the_digest(a, b):
    assert (digest({"x": {"y": [a]}}) == digest({"x": {"y": [b]}})) == same(a, b)


def test_equal_numbers_are_one_setting_and_true_is_not_a_number():
    assert digest({"lr": 1}) == digest({"lr": 1.0})
    assert digest({"x": -0.0}) == digest({"x": 0})
    assert digest({"x": True}) != digest({"x": 1})
    assert digest({"x": "1"}) != digest({"x": 1})


def test_the_digest_is_the_hash_of_a_documented_text():
    key = StageKey("detect", 3, {"b": [1.0, None], "a": {"z": 0.5, "é": "x"}})
    text = r'{"inputs":{"a":{"z":0.5,"\u00e9":"x"},"b":[1,null]},"stage":"detect","version":3}'
    assert key.digest == hashlib.sha256(text.encode()).hexdigest()[:32]


def test_stage_and_version_are_part_of_the_digest():
    keys = {StageKey(stage, version, {}) for stage in ("pretrain", "detect") for version in (1, 2)}
    assert len({key.digest for key in keys}) == 4
    assert StageKey("detect", 1, {}) in keys


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (float("nan"), "inputs.a[1] = nan"),
        (float("inf"), "inputs.a[1] = inf"),
        (Path("x"), "inputs.a[1] is a"),
        ({1: 2}, "inputs.a[1] has the name 1"),
    ],
)
def test_what_json_cannot_say_is_refused_with_its_place(value, place):
    with pytest.raises((TypeError, ValueError)) as caught:
        digest({"a": [0, value]})
    assert place in str(caught.value)


@pytest.mark.parametrize(
    "stage", ["", "Pretrain", "1st", "a/b", "..", ".tmp", "a-b", "détect", "a\n"]
)
def test_a_stage_name_is_a_plain_word(stage):
    with pytest.raises(ValueError, match="stage name"):
        StageKey(stage, 1, {})


def test_a_key_does_not_follow_later_changes_of_what_it_was_made_from():
    inputs = {"layers": [1, 2]}
    key = StageKey("pretrain", 1, inputs)
    inputs["layers"].append(3)
    assert key == StageKey("pretrain", 1, {"layers": [1, 2]})

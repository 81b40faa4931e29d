from hypothesis import example, given
from hypothesis import strategies as st

from noisetune.texts import STEM_LENGTH, file_stems, shortened

CONDITIONS = st.lists(st.text(min_size=1, max_size=300), min_size=1, max_size=5, unique=True)


@given(CONDITIONS)
@example(["a b", "a_b", "A b"])
@example(["x" * 300, "x" * 301])
@example(["arm=a/b", "arm=a?b", "..", "/"])
def test_a_file_stem_stays_in_its_folder_and_is_no_other_one_s(conditions: list[str]) -> None:
    stems = file_stems(conditions)
    assert list(stems) == conditions
    assert len({stem.casefold() for stem in stems.values()}) == len(conditions)
    for stem in stems.values():
        assert len(stem.encode()) <= STEM_LENGTH
        assert not {"/", "\0"} & set(stem)
        assert stem not in ("", ".", "..")


def test_a_plain_condition_is_its_own_stem() -> None:
    name = "noise.rate=0.6 pretrain.method=barlow_twins"
    assert file_stems([name]) == {name: "noise.rate=0.6_pretrain.method=barlow_twins"}


@given(st.lists(st.text(min_size=0, max_size=40), unique=True), st.integers(12, 20))
def test_what_is_shortened_is_told_apart(names: list[str], length: int) -> None:
    short = [shortened(name, length) for name in names]
    assert len(set(short)) == len(names)
    assert all(len(each) <= length for each in short)

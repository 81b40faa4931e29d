import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from noisetune.noise.none import Config
from noisetune.testing.noise import part_of


@given(labels=st.lists(st.integers(0, 9)))
def test_every_label_stays(labels: list[int]) -> None:
    assert Config().corrupt(part_of(labels, 10), np.random.default_rng(0)).tolist() == labels


def test_the_matrix_is_the_identity() -> None:
    assert Config().transition_matrix(part_of([], 3)).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisetune.data import fashion_mnist
from noisetune.data.cifar100 import SUPERCLASSES
from noisetune.errors import UserError
from noisetune.noise.asymmetric import Config, confused_with
from noisetune.testing.noise import part_of

CONFUSED = {
    ("truck", "automobile"),
    ("bird", "airplane"),
    ("deer", "horse"),
    ("cat", "dog"),
    ("dog", "cat"),
}

CIFAR10_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
GARMENTS_CONFUSED = {
    ("Ankle boot", "Sneaker"),
    ("Sneaker", "Sandal"),
    ("Pullover", "Shirt"),
    ("Coat", "Dress"),
    ("Dress", "Coat"),
}
NAMES_AND_CONFUSED = [(CIFAR10_NAMES, CONFUSED), (fashion_mnist.Config.classes, GARMENTS_CONFUSED)]


@pytest.mark.parametrize(
    ("classes", "confused"), NAMES_AND_CONFUSED, ids=["cifar10", "fashion_mnist"]
)
@given(data=st.data(), seed=st.integers(0, 99))
def test_five_classes_become_the_one_they_are_taken_for_by_name(
    classes: tuple[str, ...], confused: set[tuple[str, str]], data: st.DataObject, seed: int
) -> None:
    names = data.draw(st.permutations(classes))
    clean = part_of(np.arange(50) % 10, 10, class_names=tuple(names))
    noisy = Config(rate=1).corrupt(clean, np.random.default_rng(seed))
    changed = {(names[a], names[b]) for a, b in zip(clean.labels, noisy, strict=True) if a != b}
    assert changed == confused


def test_the_whole_rate_is_half_of_it() -> None:
    clean = part_of(np.arange(1000) % 10, 10, class_names=CIFAR10_NAMES)
    noisy = Config(rate=0.4, draw="exact").corrupt(clean, np.random.default_rng(0))
    assert (noisy != clean.labels).mean() == 0.2


def test_a_cifar100_class_becomes_the_next_one_of_its_own_superclass() -> None:
    """Five turns lead back, through classes of one superclass; 4, 30, 55, 72, 95 are the first."""
    following = confused_with(part_of([], 100, superclasses=SUPERCLASSES))
    of = np.array(SUPERCLASSES)
    turned = np.arange(100)
    for _ in range(5):
        turned = following[turned]
        assert (of[turned] == of).all()
    assert turned.tolist() == list(range(100))
    assert [following[label] for label in (4, 30, 55, 72, 95)] == [30, 55, 72, 95, 4]


def test_other_classes_are_refused() -> None:
    with pytest.raises(UserError, match=r"asymmetric knows .* not the classes of this .*0, 1, 2"):
        Config().transition_matrix(part_of([0, 1], 3))

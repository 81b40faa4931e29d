import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import truncnorm

from noisetune.noise.base import CleanPart
from noisetune.noise.instance import Config
from noisetune.testing.noise import part_of

rates = st.floats(0.01, 1)


def by_hand(clean: CleanPart, rate: float, seed: int, scale: float) -> np.ndarray:
    """P(noisy | image) image by image, as the paper's algorithm goes, with the mean of q."""
    rows = []
    for image, label in zip(clean.images, clean.labels, strict=True):
        pixels = (image.ravel() / 255 - 0.5) / 0.29 * scale
        weights = np.random.default_rng([seed, label]).standard_normal((pixels.size, clean.classes))
        powers = np.exp(pixels @ weights)
        powers[label] = 0
        row = rate * powers / powers.sum()
        row[label] = 1 - rate
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize(("pixels", "scale"), [("unit", 1 / 4), ("standardised", 1)])
def test_the_matrix_is_the_mean_over_the_images_by_the_papers_algorithm(
    pixels: str, scale: float
) -> None:
    clean = part_of(np.arange(30) % 3, 3, size=4, seed=5)
    config = Config(rate=0.4, pixels=pixels, draw="exact")
    rows = by_hand(clean, 0.4, 5, scale)
    expected = [rows[clean.labels == label].mean(axis=0) for label in range(3)]
    np.testing.assert_allclose(config.transition_matrix(clean), expected)


def test_each_image_has_chances_of_its_own() -> None:
    """Of many draws: the labels of one image are those of its row, not of its class."""
    clean = part_of([0, 0, 1, 2], 3, size=4, seed=1)
    draws = [Config(rate=0.5).corrupt(clean, np.random.default_rng(seed)) for seed in range(1000)]
    found = np.array([np.bincount(labels, minlength=3) / 1000 for labels in np.transpose(draws)])
    np.testing.assert_allclose(found, by_hand(clean, 0.5, 1, 1 / 4), atol=0.07)
    assert np.abs(found[0] - found[1]).max() > 0.05


def test_unit_pixels_are_not_one_hot_and_standardised_ones_are() -> None:
    clean = part_of(np.zeros(200), 10, size=32)
    largest = {
        pixels: np.median(Config(pixels=pixels)._wrong(clean, 0, np.arange(200)).max(axis=1))
        for pixels in ("unit", "standardised")
    }
    assert largest["unit"] < 0.5
    assert largest["standardised"] > 0.99


@pytest.mark.parametrize("rate", [0.05, 0.4, 0.9])
def test_the_share_of_wrong_labels_is_the_mean_of_the_truncated_normal(rate: float) -> None:
    clean = part_of(np.arange(20_000) % 10, 10)
    noisy = Config(rate=rate).corrupt(clean, np.random.default_rng(0))
    mean = truncnorm((0 - rate) / 0.1, (1 - rate) / 0.1, loc=rate, scale=0.1).mean()
    assert (noisy != clean.labels).mean() == pytest.approx(mean, abs=0.015)
    assert 1 - Config(rate=rate).transition_matrix(clean)[3, 3] == pytest.approx(mean)


def test_both_parts_of_a_data_set_share_the_weights() -> None:
    labels, config = np.arange(60) % 3, Config()
    train, test, other = (
        part_of(labels, 3, size=4, part=part, seed=seed)
        for part, seed in (("train", 1), ("test", 1), ("train", 2))
    )
    expected = config.transition_matrix(train)
    assert np.array_equal(config.transition_matrix(test), expected)
    assert not np.allclose(config.transition_matrix(other), expected)


@given(seed=st.integers(0, 2**32 - 1), rates=st.tuples(rates, rates).map(sorted))
def test_a_higher_rate_keeps_the_wrong_labels_of_a_lower_one(seed: int, rates: list[float]) -> None:
    clean = part_of(np.arange(200) % 5, 5, size=4, seed=seed)
    less, more = (Config(rate=r).corrupt(clean, np.random.default_rng(seed)) for r in rates)
    wrong = less != clean.labels
    assert np.array_equal(more[wrong], less[wrong])


def test_an_exact_draw_keeps_nearly_all_of_them() -> None:
    clean = part_of(np.arange(2000) % 10, 10)
    for low, high in ((0.05, 0.1), (0.1, 0.11), (0.2, 0.4)):
        less, more = (
            Config(rate=rate, draw="exact").corrupt(clean, np.random.default_rng(0))
            for rate in (low, high)
        )
        wrong = less != clean.labels
        assert (more[wrong] == less[wrong]).mean() >= 0.99


def test_the_mean_rates_that_the_documents_name() -> None:
    means = {rate: float(Config(rate=rate)._chance().mean()) for rate in (0.05, 0.1, 0.2, 0.4)}
    assert {rate: round(mean, 3) for rate, mean in means.items()} == {
        0.05: 0.101, 0.1: 0.129, 0.2: 0.206, 0.4: 0.4,
    }  # fmt: skip


def test_rate_0_is_refused_as_it_would_mislabel_a_twelfth() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        Config(rate=0)

"""What every model of label noise promises that draws its labels."""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import numpy as np
from hypothesis import given as drawn_from
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from numpy.typing import ArrayLike
from pydantic import ValidationError
from scipy.stats import binom

from noisetune.errors import UserError
from noisetune.noise.base import ClassNoise, CleanPart, Labels, NoiseConfig, RateNoise
from noisetune.testing.promises import NeedsSettingsError, promise

RARE = 1e-10
HIGHEST = (0.49, 0.4, 0.3, 0.2, 0.1)
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(2, 12)
draws = st.sampled_from(["iid", "exact"])


@promise(NoiseConfig)
def it_is_a_pure_function_of_the_part_and_the_generator(
    config: type[NoiseConfig], **settings: Any
) -> None:
    def holds(rate: float, classes: int, draw: str, seed: int) -> None:
        clean, noise = drawn(50, classes, seed), noise_of(config, settings, rate, classes, draw)
        before = clean.labels.copy()
        first, second = (corrupted(noise, clean, seed) for _ in range(2))
        assert np.array_equal(first, second), "corrupt: other labels at the second time"
        assert np.array_equal(clean.labels, before), "corrupt: it changes the clean labels"

    _for_all(holds, rate=rates(config, settings), classes=sizes, draw=draws, seed=seeds)


@promise(NoiseConfig)
def noisy_labels_are_labels(config: type[NoiseConfig], **settings: Any) -> None:
    def holds(rate: float, classes: int, count: int, draw: str, seed: int) -> None:
        clean = drawn(count, classes, seed)
        noise = noise_of(config, settings, rate, classes, draw)
        noisy = corrupted(noise, clean, seed)
        assert noisy.dtype == np.int64, f"corrupt: {noisy.dtype}, labels are int64"
        assert noisy.shape == clean.labels.shape, f"corrupt: {noisy.shape} of {count} labels"
        assert not np.shares_memory(noisy, clean.labels), "corrupt: gives the clean labels away"
        assert ((noisy >= 0) & (noisy < classes)).all(), f"corrupt: labels outside 0..{classes - 1}"

    counts = st.integers(0, 50)
    given = {"rate": rates(config, settings), "classes": sizes, "draw": draws, "seed": seeds}
    _for_all(holds, count=counts, **given)


@promise(NoiseConfig)
def the_transition_matrix_is_row_stochastic(config: type[NoiseConfig], **settings: Any) -> None:
    def holds(rate: float, classes: int, count: int) -> None:
        noise = noise_of(config, settings, rate, classes)
        matrix = noise.transition_matrix(drawn(count, classes, 0))
        assert matrix.shape == (classes, classes), f"transition_matrix: shape {matrix.shape}"
        assert (matrix >= 0).all(), "transition_matrix: it has chances below 0"
        np.testing.assert_allclose(matrix.sum(axis=1), 1)

    _for_all(holds, rate=rates(config, settings), classes=sizes, count=st.integers(0, 30))


@promise(NoiseConfig)
def every_realised_transition_is_as_likely_as_the_matrix_says(
    config: type[NoiseConfig], **settings: Any
) -> None:
    highest = _highest(config, settings)
    cases = ((0.1, 10, 0), (min(0.45, highest), 3, 1), (min(0.3, highest), 7, 2))
    for (rate, classes, seed), draw in product(cases, ("iid", "exact")):
        noise = noise_of(config, settings, rate, classes, draw)
        clean = balanced(2000, classes)
        noisy = corrupted(noise, clean, seed)
        found = np.bincount(clean.labels * classes + noisy, minlength=classes**2)
        expected = noise.transition_matrix(clean).clip(0, 1).ravel()
        where = f"corrupt: rate {rate}, draw {draw}:"
        assert (found >= binom.ppf(RARE, 2000, expected)).all(), f"{where} transitions too rare"
        assert (found <= binom.ppf(1 - RARE, 2000, expected)).all(), f"{where} too frequent"
        assert (found[expected == 0] == 0).all(), f"{where} some that the matrix rules out"


@promise(NoiseConfig)
def other_seeds_give_other_wrong_labels_where_any_are_wrong(
    config: type[NoiseConfig], **settings: Any
) -> None:
    clean = drawn(200, 5, 0)
    noise = noise_of(config, settings, min(0.4, _highest(config, settings)), 5)
    first, second = (corrupted(noise, clean, seed) for seed in (1, 2))
    wrong = bool((first != clean.labels).any() or (second != clean.labels).any())
    assert np.array_equal(first, second) != wrong, "corrupt: two seeds give the same wrong labels"


@promise(NoiseConfig)
def an_exact_draw_has_the_expected_number_of_wrong_labels(
    config: type[NoiseConfig], **settings: Any
) -> None:
    """Rounded; and where the class decides, within one of what each class expects."""
    if "draw" not in config.model_fields:
        return

    def holds(rate: float, classes: int, count: int, seed: int) -> None:
        noise = noise_of(config, settings, rate, classes, "exact")
        clean = drawn(count, classes, seed)
        wrong = corrupted(noise, clean, seed) != clean.labels
        present = np.bincount(clean.labels, minlength=classes)
        expected = present * (1 - noise.transition_matrix(clean).diagonal())
        assert abs(wrong.sum() - expected.sum()) <= 0.5 + 1e-6, (
            f"corrupt: {wrong.sum()} wrong labels, {expected.sum()} expected"
        )
        if issubclass(config, ClassNoise):
            found = np.bincount(clean.labels[wrong], minlength=classes)
            assert (np.abs(found - expected) < 1 + 1e-6).all(), "corrupt: a class has too many"

    counts = st.integers(1, 300)
    _for_all(holds, rate=rates(config, settings), classes=sizes, count=counts, seed=seeds)


@promise(RateNoise)
def a_higher_rate_keeps_the_wrong_labels_of_a_lower_one(
    config: type[RateNoise], **settings: Any
) -> None:
    """From equal generators; rounding may take one of a class back, in an exact draw."""
    clean = balanced(100, 4)

    def leaves_a_remainder(noise: NoiseConfig) -> bool:
        leaving = 100 * (1 - noise.transition_matrix(clean).diagonal())
        return not np.allclose(leaving, leaving.round())

    def holds(low: float, high: float, draw: str, seed: int) -> None:
        both = [round(rate, 2) for rate in sorted((low, high))]
        noises = [noise_of(config, settings, rate, 4, draw) for rate in both]
        less, more = (corrupted(noise, clean, seed) for noise in noises)
        wrong = less != clean.labels
        changed = wrong & (less != more)
        assert (more == clean.labels)[changed].all(), "corrupt: a higher rate draws other classes"
        most = int(draw == "exact" and any(map(leaves_a_remainder, noises)))
        lost = np.bincount(clean.labels[changed], minlength=4)
        assert (lost <= most).all(), "corrupt: a higher rate draws other labels"

    permitted = rates(config, settings)
    _for_all(holds, low=permitted, high=permitted, draw=draws, seed=seeds)


@promise(RateNoise)
def no_rate_is_no_noise(config: type[RateNoise], **settings: Any) -> None:
    def holds(classes: int, draw: str, seed: int) -> None:
        clean = drawn(100, classes, seed)
        noise = noise_of(config, settings, 0.0, classes, draw)
        noisy = corrupted(noise, clean, seed)
        assert np.array_equal(noisy, clean.labels), "corrupt: wrong labels at rate 0"

    _for_all(holds, classes=sizes, draw=draws, seed=seeds)


@promise(RateNoise)
def a_rate_outside_0_to_1_is_refused(config: type[RateNoise], **settings: Any) -> None:
    for rate in (-0.1, 1.1, float("nan")):
        assert "rate" in _refused(config, {**settings, "rate": rate}), f"rate: {rate} is taken"


def _refused(config: type[NoiseConfig], settings: dict[str, Any]) -> set[str]:
    """The fields that a configuration is refused for."""
    try:
        config(**settings)
    except ValidationError as error:
        return {str(each["loc"][0]) for each in error.errors() if each["loc"]}
    return set()


def noise_of(
    config: type[NoiseConfig],
    settings: Mapping[str, Any],
    rate: float,
    classes: int,
    draw: str = "iid",
) -> NoiseConfig:
    """The model with `settings` at a rate and with a draw, or of a random matrix, where it has
    such fields."""
    matrix = np.random.default_rng(classes).dirichlet(np.ones(classes), classes).tolist()
    given: dict[str, Any] = {"matrix": matrix, **settings, "rate": rate, "draw": draw}
    known = {name: given[name] for name in given.keys() & config.model_fields.keys()}
    unknown = {name: settings[name] for name in settings.keys() - known.keys()}
    try:
        return config(**known, **unknown)
    except ValidationError as error:
        raise NeedsSettingsError(config, error) from None


def corrupted(noise: NoiseConfig, clean: CleanPart, seed: int) -> Labels:
    """The noisy labels; NeedsSettingsError where it has none for these images."""
    try:
        return noise.corrupt(clean, np.random.default_rng(seed))
    except UserError as error:
        raise NeedsSettingsError(type(noise), error) from None


def rates(config: type[NoiseConfig], settings: Mapping[str, Any]) -> SearchStrategy[float]:
    """Rates that the model permits."""
    return st.floats(0.01, _highest(config, settings))


def _highest(config: type[NoiseConfig], settings: Mapping[str, Any]) -> float:
    for rate in HIGHEST:
        try:
            noise_of(config, settings, rate, 5)
        except NeedsSettingsError as error:
            refused = error
        else:
            return rate
    raise refused


def drawn(count: int, classes: int, seed: int) -> CleanPart:
    """`count` random labels, in superclasses of two (the last of three where classes are odd)."""
    labels = np.random.default_rng(seed).integers(0, classes, count)
    return part_of(labels, classes, superclasses=_pairs(classes))


def balanced(count: int, classes: int) -> CleanPart:
    """`count` labels of each class, in the same superclasses."""
    labels = np.repeat(np.arange(classes), count)
    return part_of(labels, classes, superclasses=_pairs(classes))


def _pairs(classes: int) -> tuple[int, ...]:
    return tuple(min(label // 2, classes // 2 - 1) for label in range(classes))


def part_of(labels: ArrayLike, classes: int, size: int = 2, **more: Any) -> CleanPart:
    """Labels with random grey images of size x size, made from the number of labels alone."""
    labels = np.asarray(labels, dtype=np.int64)
    rng = np.random.default_rng(len(labels))
    known: dict[str, Any] = {
        "images": rng.integers(0, 256, (len(labels), 1, size, size), dtype=np.uint8),
        "class_names": tuple(map(str, range(classes))),
        "mean": (0.5,),
        "std": (0.29,),
    }
    return CleanPart(labels, classes, **(known | more))


def _for_all(holds: Callable[..., None], **strategies: SearchStrategy[Any]) -> None:
    hypothesis_settings(deadline=None)(drawn_from(**strategies)(holds))()

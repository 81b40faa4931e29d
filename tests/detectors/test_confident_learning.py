import re
import warnings

import numpy as np
import pytest
from cleanlab.filter import find_label_issues
from pydantic import ValidationError

from noisetune.detectors.base import Evidence
from noisetune.detectors.confident_learning import FILTERS, Config, flag_issues


def noisy(seed: int, samples: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Given labels, true labels, and probabilities that lean towards the true ones."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, samples)
    wrong = rng.random(samples) < 0.4
    wrong[:2] = True, False
    given = np.where(wrong, (true + rng.integers(1, classes, samples)) % classes, true)
    logits = rng.normal(size=(samples, classes)) + 1.5 * np.eye(classes)[true]
    return given, true, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_filters_are_those_that_cleanlab_documents() -> None:
    documented = re.search(r"filter_by : \{(.*?)\}", find_label_issues.__doc__ or "")
    assert documented
    assert set(re.findall(r"'(\w+)'", documented[1])) == set(FILTERS)


@pytest.mark.parametrize("filter_by", FILTERS)
def test_flags_equal_cleanlab_without_its_warnings(filter_by: str) -> None:
    given, _, probs = noisy(0, 300, classes=6)
    given[given == 2] = 4
    given[given == 5] = 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mask = flag_issues(given, probs, filter_by)
    assert not caught
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert (mask == find_label_issues(given, probs, filter_by=filter_by, n_jobs=1)).all()
    assert mask.dtype == np.bool_
    assert mask.any()


@pytest.mark.parametrize("filter_by", FILTERS)
@pytest.mark.parametrize("given", [[], [1], [0, 0, 0], [2, 2, 2]])
def test_fewer_than_two_given_classes_flag_nothing(given: list[int], filter_by: str) -> None:
    probs = np.tile([0.2, 0.7, 0.1], (len(given), 1))
    assert flag_issues(np.array(given, dtype=np.int64), probs, filter_by).tolist() == [False] * len(
        given
    )


@pytest.mark.parametrize("filter_by", FILTERS)
def test_two_samples_and_many_absent_classes_survive(filter_by: str) -> None:
    assert flag_issues(np.array([0, 99]), np.full((2, 100), 0.01), filter_by).shape == (2,)


def test_an_unknown_filter_is_answered_with_the_choices() -> None:
    with pytest.raises(ValidationError, match=r"prune_by_noise_rate"):
        Config(filter_by="all")


def test_the_less_sure_of_the_given_label_the_more_suspicious() -> None:
    probs = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
    given = np.array([1, 2], dtype=np.uint8)
    assert Config().judge(Evidence(given, probs)).suspicion.tolist() == [-0.2, -0.4]

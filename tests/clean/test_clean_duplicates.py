"""Duplicates: exact by content, near by features and pixels."""

import numpy as np
import torch

from noisetune.clean.duplicates import find_duplicates


def test_equal_and_alike_images_are_grouped() -> None:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 255, (6, 1, 8, 8), dtype=np.uint8))
    features = rng.normal(size=(6, 16)).astype(np.float32)
    images[1], features[1] = images[0], features[0]
    images[3], features[3] = images[2].flip(-1), features[2]
    features[5] = features[4]
    contents = [b"a", b"a", b"b", b"c", b"d", b"e"]
    found = find_duplicates(contents, features, images)
    assert found.exact == [(0, 1)]
    # Rows 4 and 5 have features alike, and nothing else.
    assert found.near == [(0, 1), (2, 3)]
    assert found.group.tolist() == [1, 1, 2, 2, 0, 0]

"""What the tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images and labels that the repository may not carry.

    It is $NOISETUNE_TEST_DATA, else shared/data beside the checkout; without it the test skips.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("NOISETUNE_TEST_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"real data: no folder {folder}; set NOISETUNE_TEST_DATA to one")
    return folder

import pytest
import torch

from noisetune.training.rows import Rows


def test_batches_become_one_tensor_of_their_type() -> None:
    whole = torch.randn(7, 2, 3).half()
    rows = Rows(7)
    for batch in whole.split(3):
        rows.add(batch)
    assert rows.filled == 7
    assert rows.whole().dtype == torch.half
    assert rows.whole().equal(whole)


def test_rows_that_did_not_come() -> None:
    rows = Rows(3)
    with pytest.raises(ValueError, match="0 of 3"):
        rows.whole()
    rows.add(torch.zeros(2))
    with pytest.raises(ValueError, match="2 of 3"):
        rows.whole()


def test_no_rows_of_an_empty_batch() -> None:
    rows = Rows(0)
    rows.add(torch.zeros(0, 4))
    assert rows.whole().shape == (0, 4)

from itertools import product
from typing import get_args

import torch
from hypothesis import given
from hypothesis import strategies as st

from noisetune.seeds import Purpose, Stream, derive_seed, generator, seeded_initialisation

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = scalars | st.lists(scalars) | st.dictionaries(st.text(), scalars)


def test_a_seed_is_the_same_on_every_machine() -> None:
    assert (
        derive_seed("split", ["digits", {"rate": 0.4, "model": "symmetric"}, 0])
        == 5874005381015101571
    )
    assert derive_seed() == 2858069222894195974


@given(parts=st.lists(values, max_size=4))
def test_a_seed_fits_every_generator(parts: list[object]) -> None:
    assert 0 <= derive_seed(*parts) < 2**63
    generator(*parts)


@given(first=st.dictionaries(st.text(), scalars))
def test_the_order_of_keys_does_not_matter(first: dict[str, object]) -> None:
    backwards = dict(reversed(first.items()))
    assert derive_seed(first) == derive_seed(backwards)


def test_other_parts_give_other_seeds() -> None:
    parts = [(), ("a",), ("b",), ("a", 0), ("a", 1), ("a0",), (["a", 0],), ("0", "a"), (0, "a")]
    assert len({derive_seed(*part) for part in parts}) == len(parts)


def test_a_generator_repeats_by_name() -> None:
    draws = [torch.rand(3, generator=generator("noise", number)) for number in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_initialisation_is_seeded_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    with seeded_initialisation("weights", 1):
        first = torch.nn.Linear(3, 3).weight
    assert torch.equal(torch.rand(2), expected)
    with seeded_initialisation("weights", 1):
        assert torch.equal(torch.nn.Linear(3, 3).weight, first)


def test_no_two_roles_share_a_stream() -> None:
    roles = [
        Stream(*role)
        for role in product((0, 1), ("pretrain", "finetune"), get_args(Purpose), (None, 0, 1))
    ]
    seeds = [role.seed(*part) for role in roles for part in ((), (0,), (1,), (0, 1), ("test",))]
    assert len(set(seeds)) == len(seeds)


def test_a_stream_is_the_same_on_every_machine() -> None:
    stream = Stream(3, "finetune", "order", fold=1)
    assert stream.seed(2) == derive_seed(3, "finetune", 1, "order", 2)
    assert torch.equal(
        torch.rand(3, generator=stream.generator(2)),
        torch.rand(3, generator=generator(3, "finetune", 1, "order", 2)),
    )


def test_a_part_of_a_stream_does_not_hang_on_what_was_drawn_before() -> None:
    stream = Stream(0, "labels", "noise")
    expected = stream.rng("test").random(3)
    stream.rng("train").random(99)
    assert stream.rng("test").random(3).tolist() == expected.tolist()

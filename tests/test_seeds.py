import torch
from hypothesis import given
from hypothesis import strategies as st

from noisetune.seeds import derive_seed, generator, seeded_initialisation

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

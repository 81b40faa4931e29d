"""What may befall a file of lines."""

from hypothesis import strategies as st

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
records = st.lists(
    st.dictionaries(st.text(max_size=9), scalars | st.lists(scalars, max_size=2), max_size=4),
    min_size=1,
    max_size=6,
)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> tuple[bytes, int]:
    """Some other content, and the first byte that is not as it was."""
    start = draw(st.integers(0, len(content) - 1))
    end = draw(st.integers(start + 1, len(content)))
    kind = draw(st.sampled_from(["bit", "cut", "line", "garbage", "blank", "gone", "more"]))
    garbage = draw(st.binary(min_size=1, max_size=20))
    bit = bytes([content[start] ^ 1 << draw(st.integers(0, 7))])
    new = {
        "bit": content[:start] + bit + content[start + 1 :],
        "cut": content[:start],
        "line": content[:start] + b"\n",
        "garbage": content[:start] + garbage + content[start + len(garbage) :],
        "blank": content[:start] + b" " * (end - start) + content[end:],
        "gone": content[:start] + content[end:],
        "more": content[:start] + garbage + content[start:],
    }[kind]
    pairs = enumerate(zip(content, new, strict=False))
    place = next((at for at, (old, now) in pairs if old != now), min(len(content), len(new)))
    return new, place

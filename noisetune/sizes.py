"""Sizes as people write them."""

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_size(text: str) -> int:
    """Bytes, from a number with an optional K, M, G or T (powers of 1000); ValueError otherwise."""
    number = text.strip().upper().removesuffix("B")
    unit = number[-1:] if number[-1:].isalpha() else ""
    try:
        size = float(number.removesuffix(unit)) * UNITS[unit]
    except (ValueError, KeyError):
        size = -1.0
    if not 0 <= size < float("inf"):
        raise ValueError(f"{text}: write a number of bytes, such as 500M or 20G")
    return int(size)

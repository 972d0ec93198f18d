"""Counts and shares as a person would write them."""


def plural(count: int, noun: str) -> str:
    """`1 film`, `2,000 films`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def percent(part: float, whole: float) -> str:
    """A share as a percentage: one digit, or two that count if it is tiny; a dash of nothing."""
    if not whole:
        return "–"
    share = 100 * part / whole
    return f"{share:.2g} %" if 0 < share < 0.1 else f"{share:.1f} %"

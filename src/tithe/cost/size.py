"""Sizes of memory as people write them: 24GB, 24 GiB, 512MB, 1.5e9."""

import math
import re

from tithe.errors import UsageError

_UNITS = {"": 1, "b": 1}
_UNITS |= {f"{letter}b": 1000**power for power, letter in enumerate("kmgtp", start=1)}
_UNITS |= {f"{letter}ib": 1024**power for power, letter in enumerate("kmgtp", start=1)}
_UNITS |= {letter: 1000**power for power, letter in enumerate("kmgtp", start=1)}
_SHAPE = re.compile(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def bytes_of(text: str) -> int:
    """How many bytes: GB is 10^9, GiB is 2^30; small letters will do.

    Raises:
        UsageError: it is no size.

    >>> bytes_of("24GB"), bytes_of("1.5 GiB")
    (24000000000, 1610612736)
    """
    found = _SHAPE.fullmatch(text)
    unit = found[2].lower() if found else None
    try:
        number = float(found[1]) if found else math.nan
    except ValueError:
        number = math.nan
    if unit not in _UNITS or not 0 < number < math.inf:
        raise UsageError(f"a size of {text!r} was given; write a number above 0 and a unit, such as 24GB or 24GiB.")
    return round(number * _UNITS[unit])

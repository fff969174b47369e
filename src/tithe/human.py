"""Numbers as people read them: three digits, a prefix, a unit."""

import math
from collections.abc import Iterable

NO_BREAK = "\N{NO-BREAK SPACE}"
_PREFIXES = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"]
_SMALL = ["", "m", "µ", "n"]


def three_digits(value: float) -> str:
    """Three significant digits and no exponent: .0791 -> 0.0791, 1 -> 1.00, 312.4 -> 312, 41234 -> 41,234."""
    if abs(value) >= 999.5:
        return f"{value:,.0f}"
    if 0 < abs(value) < 1e-4:
        return f"{value:.2e}"
    return f"{value:#.3g}".rstrip(".")


def counted_out(value: float) -> str:
    """Three digits with words for what is large: 41,234; 11.9 million; 1.19 billion; 3.20e+17."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if 0.9995 * size <= abs(value) < 999.5 * size:
            return f"{three_digits(value / size)} {word}"
    return three_digits(value) if abs(value) < 1e6 else f"{value:.2e}"


def si(value: float, unit: str) -> str:
    """With a decimal prefix: 1234567 B -> 1.23 MB. Below one thousand, whole numbers stay whole: 12 B."""
    if abs(value) < 999.5 and value == int(value):
        return f"{int(value)} {unit}"
    power = 0
    while abs(value) >= 999.5 and power < len(_PREFIXES) - 1:
        value, power = value / 1000, power + 1
    return f"{three_digits(value)} {_PREFIXES[power]}{unit}"


def small(value: float, unit: str) -> str:
    """With a prefix for what is below one: 0.0123 Wh -> 12.3 mWh; from one on as `si`."""
    power = 0
    while 0 < abs(value) < 0.9995 and power < len(_SMALL) - 1:
        value, power = value * 1000, power + 1
    return f"{three_digits(value)} {_SMALL[power]}{unit}" if power else si(value, unit)


def money(value: float) -> str:
    """Never in exponents: 12.30, 41,234, 0.0120, 0.0000142."""
    if value == 0 or abs(value) >= 1:
        return counted_out(value) if abs(value) >= 999.5 else f"{value:.2f}"
    return f"{value:.{2 - math.floor(math.log10(abs(value)))}f}"


def tick(value: float) -> str:
    """A round number on an axis: 2e9 -> 2 G."""
    power = min(max(int(math.log10(value) // 3), 0), len(_PREFIXES) - 1) if value > 0 else 0
    return f"{value / 1000**power:g} {_PREFIXES[power]}".rstrip()


def duration(seconds: float) -> str:
    """0.213 s, 41.2 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 99.95:
        return f"{three_digits(seconds)} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def percent(fraction: float, decimals: int = 1) -> str:
    """0.0512 -> 5.1 %."""
    return f"{100 * fraction:.{decimals}f} %"


def accuracy_decimals(examples: int) -> int:
    """As many decimals of a percentage as that many test examples can tell apart."""
    return 2 if examples >= 1000 else 1


def kept_together(text: str) -> str:
    """A number and its percent sign stay on one line."""
    return text.replace(" %", f"{NO_BREAK}%")


def listed(names: Iterable[str], last: str = "and") -> str:
    """a, b and c."""
    words = list(names)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def density(fraction: float) -> str:
    """A percentage without idle zeros: 0.05 -> 5 %, 0.025 -> 2.5 %, 0.0499992 -> 5 %."""
    return f"{100 * fraction:.3g} %"

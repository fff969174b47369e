import json
import math

import pytest

from tithe import UsageError
from tithe.cost import Figure
from tithe.cost.figure import HOW


def test_products_and_quotients_carry_their_intervals():
    hours = Figure(10, "h", "measured", 8, 12, "a clock")
    watts = Figure(200, "W", "assumed", 100, 400, "a datasheet")
    energy = hours.times(watts, "Wh")
    assert (energy.value, energy.low, energy.high, energy.how) == (2000, 800, 4800, "modelled")
    back = energy.over(watts, "h")
    assert (back.value, back.low, back.high) == (10, 2, 48)


@pytest.mark.parametrize(
    ("first", "second", "product"),
    [
        ("measured", "counted", "measured"),
        ("counted", "counted", "counted"),
        ("assumed", "assumed", "assumed"),
        ("measured", "assumed", "modelled"),
        ("counted", "modelled", "modelled"),
    ],
)
def test_a_product_is_known_as_well_as_its_factors(first, second, product):
    assert Figure(1, "h", first).times(Figure(1, "W", second), "Wh").how == product


def test_a_plain_factor_takes_nothing_away():
    for how in HOW:
        assert Figure(2, "s", how).over(3600, "h").how == how


def test_json_goes_there_and_back_even_with_infinity():
    for figure in (
        Figure(3, "kWh", "modelled", 1, math.inf, "x"),
        Figure(math.inf, "1", "assumed"),
        Figure(0, "B", "counted"),
    ):
        text = json.dumps(figure.json(), allow_nan=False)
        assert Figure.from_json(json.loads(text)) == figure
    assert set(Figure(1, "h", "measured").json()) == {"value", "unit", "how", "low", "high", "source"}


def test_figures_are_read_by_people():
    assert str(Figure(4.09e9, "FLOP", "counted")) == "4.09 GFLOP (counted)"
    assert (
        str(Figure(1.5e9, "h", "modelled", 9e6, math.inf)) == "1.50 billion h [9.00 million h to infinite h] (modelled)"
    )
    assert Figure(185, "s", "measured").number() == "3 min 05 s"
    assert Figure(41234, "USD", "modelled").number() == "41,234 USD"
    assert Figure(1234567, "B", "measured").number() == "1.23 MB"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1, "h", "guessed"), "measured, counted"),
        ((1, "", "measured"), "without a unit"),
        ((math.nan, "h", "measured"), "not a number"),
        ((1, "h", "measured", 2, 3), "does not hold it"),
    ],
)
def test_what_is_no_figure_is_refused(arguments, words):
    with pytest.raises(UsageError, match=words):
        Figure(*arguments)

"""Options that say what a kWh, an hour and a gram of CO2 cost; the same for every verb that names a price."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
NAMES = {  # option's parameter -> argument of Rates.on
    "country": "country",
    "pue": "pue",
    "watts": "watts",
    "kwh_price": "usd_per_kwh",
    "hour_price": "usd_per_hour",
}
_OPTIONS = (
    click.option(
        "--country",
        envvar="TITHE_COUNTRY",
        show_envvar=True,
        help="Whose electricity: a three-letter code or a name.  [default: the world's mean, 0.48 kg of CO2 a kWh]",
    ),
    click.option(
        "--pue",
        type=float,
        envvar="TITHE_PUE",
        show_envvar=True,
        help="Power of the data centre over that of its computers; 1 at home.  [default: 1.56]",
    ),
    click.option(
        "--watts",
        type=float,
        envvar="TITHE_WATTS",
        show_envvar=True,
        help="Power of one machine or card under load.  [default: modelled]",
    ),
    click.option(
        "--kwh-price", type=float, envvar="TITHE_KWH_PRICE", show_envvar=True, help="USD a kWh.  [default: 0.155]"
    ),
    click.option(
        "--hour-price",
        type=float,
        envvar="TITHE_HOUR_PRICE",
        show_envvar=True,
        help="USD for an hour of one machine or card.  [default: a rented one's]",
    ),
)


def rates_options(command: F) -> F:
    """The command with these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def rates_given(options: dict[str, Any]) -> dict[str, Any]:
    """Takes them out of a command's options; what was given, as `Rates.on` takes it."""
    given = {argument: options.pop(name) for name, argument in NAMES.items()}
    return {argument: value for argument, value in given.items() if value is not None}

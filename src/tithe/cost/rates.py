"""From FLOP or hours to kWh, CO2 and money: the assumptions, each with its source, and the arithmetic.

    hours  = FLOP / (peak x utilisation x devices)
    kWh    = hours x devices x watts x PUE / 1000
    kg CO2 = kWh x carbon intensity of the country's electricity
    USD    = hours x devices x rent of a device-hour     (rent includes the electricity)
    USD of electricity alone = kWh x price of a kWh      (if the machine is yours)

Every default is assumed and says where it comes from; intervals are carried through to the results.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tithe.cost import hardware as machines
from tithe.cost import table
from tithe.cost.figure import Figure
from tithe.cost.hardware import Hardware
from tithe.errors import UsageError

WORLD = "WLD"
UTILISATION = Figure(
    *(0.35, "1", "assumed", 0.21, 0.46),
    "share of the peak that training sustains: GPT-3 21 %, Gopher 33 %, PaLM 46 % (Chowdhery et al. 2022, "
    "arXiv 2204.02311, table 3)",
)
PUE = Figure(
    *(1.56, "1", "assumed", 1.09, 1.8),
    "power of the whole data centre over that of its computers: survey mean 1.56 (Uptime Institute 2024), Google's own "
    "1.09 (2024), survey mean of 2011 1.8; 1 for a machine at home",
)
KWH_PRICE = Figure(
    *(0.155, "USD/kWh", "assumed", 0.11, 0.25),
    "mean price for businesses, world; lowest and highest continent (GlobalPetrolPrices, 2025, first quarter)",
)


@dataclass(frozen=True)
class Cost:
    """What an amount of computing costs."""

    hours: Figure  # from beginning to end, with all devices at work
    device_hours: Figure  # hours x devices
    kwh: Figure  # at the meter of the data centre
    kg_co2: Figure
    usd: Figure | None  # rent of the devices; None where no price is known
    usd_electricity: Figure  # for those who own them

    def json(self) -> dict[str, Any]:
        """Each figure as `Figure.json` has it."""
        return {name: None if figure is None else figure.json() for name, figure in vars(self).items()}


@dataclass(frozen=True)
class Rates:
    """Everything that stands between FLOP and money. Make one with `Rates.on`."""

    device: str
    devices: int
    peak: Figure | None  # FLOP/s of one device; None for a card that the table does not know
    utilisation: Figure  # share of it that training sustains
    watts: Figure  # of one device, under load
    pue: Figure
    usd_per_kwh: Figure
    usd_per_hour: Figure | None  # rent of one device
    kg_co2_per_kwh: Figure

    @classmethod
    def on(
        cls,
        hardware: Hardware | str | None = None,
        *,
        devices: int = 1,
        dtype: str = "float32",
        country: str | None = None,
        utilisation: float | Figure | None = None,
        watts: float | None = None,
        pue: float | None = None,
        usd_per_kwh: float | None = None,
        usd_per_hour: float | None = None,
    ) -> Rates:
        """The rates on a device (a name of the table; by default this machine); what is not given has a stated default.

        Raises:
            UsageError: an unknown device, country or dtype, or a number out of range.
        """
        device = machines.find(hardware or machines.THIS_MACHINE) if not isinstance(hardware, Hardware) else hardware
        if devices < 1:
            raise UsageError(f"{devices} devices were given; give 1 or more.")
        return cls(
            device.name,
            devices,
            peak=device.peak(dtype) if device.peaks else None,
            utilisation=_given("utilisation", utilisation, "1", UTILISATION, most=1),
            watts=_given("watts", watts, "W", device.watts),
            pue=_given("PUE", pue, "1", PUE, least=1),
            usd_per_kwh=_given("price per kWh", usd_per_kwh, "USD/kWh", KWH_PRICE),
            usd_per_hour=_given("price per device-hour", usd_per_hour, "USD/h", device.usd_per_hour),
            kg_co2_per_kwh=carbon(country),
        )

    @property
    def flop_per_second(self) -> Figure:
        """What one device sustains.

        Raises:
            UsageError: the device's peak is not known.
        """
        if self.peak is None:
            raise UsageError(f"the peak of {self.device} is not known; name a device of the table with --on.")
        return self.peak.times(self.utilisation, "FLOP/s", f"peak of {self.device} x utilisation")

    def of_flop(self, flop: Figure) -> Cost:
        """What so many FLOP cost."""
        seconds = flop.over(self.flop_per_second, "s")
        return self._of(seconds.over(3600, "h", f"FLOP / (peak of {self.device} x utilisation)"))

    def of_seconds(self, seconds: Figure, kwh: Figure | None = None) -> Cost:
        """What so many seconds with all devices at work cost; `kwh`, if energy was measured, without PUE."""
        return self._of(seconds.over(3600, "h").times(self.devices, "h"), kwh)

    def json(self) -> dict[str, Any]:
        """Every assumption, as `Figure.json` has it."""
        return {name: _json(value) for name, value in vars(self).items()}

    def _of(self, device_hours: Figure, measured: Figure | None = None) -> Cost:
        computers = measured or device_hours.times(self.watts.over(1000, "kW"), "kWh", self.watts.source)
        kwh = computers.times(self.pue, "kWh", f"{computers.source}; PUE {self.pue.value:g}")
        rent = self.usd_per_hour
        return Cost(
            hours=device_hours.over(self.devices, "h"),
            device_hours=device_hours,
            kwh=kwh,
            kg_co2=kwh.times(self.kg_co2_per_kwh, "kg", self.kg_co2_per_kwh.source),
            usd=None if rent is None else device_hours.times(rent, "USD", rent.source),
            usd_electricity=kwh.times(self.usd_per_kwh, "USD", self.usd_per_kwh.source),
        )


def carbon(country: str | None = None) -> Figure:
    """kg of CO2 a kWh in a country: three-letter code or name; the world's mean where none is given.

    The interval of the world's mean holds four of five countries; that of one country is not known.

    Raises:
        UsageError: no such country in the table.
    """
    wanted = (country or WORLD).strip().lower()
    for row in table.rows("carbon"):
        if wanted in (row["code"].lower(), row["country"].lower()):
            return _carbon(row)
    names = [row["country"].lower() for row in table.rows("carbon")]
    if country and len(country.strip()) <= 3:
        names = [row["code"].lower() for row in table.rows("carbon")]
    raise table.unknown("country", wanted, names, "Give a three-letter code such as DEU, or an English name.")


def _carbon(row: dict[str, str]) -> Figure:
    kilograms = float(row["grams_per_kwh"]) / 1000
    if row["code"] != WORLD:
        source = f"electricity of {row['country']}, {row['year']} (Our World in Data)"
        return Figure(kilograms, "kg/kWh", "assumed", source=source)
    others = sorted(float(other["grams_per_kwh"]) / 1000 for other in table.rows("carbon") if other["code"] != WORLD)
    low, high = others[len(others) // 10], others[-(len(others) // 10)]
    return Figure(
        *(kilograms, "kg/kWh", "assumed", low, high),
        f"electricity of the world, {row['year']} (Ember, Global Electricity Review 2024); four of five countries lie "
        "between",
    )


def _given(
    name: str, value: float | Figure | None, unit: str, default: Figure | None, least: float = 0, most: float = math.inf
) -> Any:
    """The value as a figure, checked, or the default."""
    if value is None:
        return default
    if isinstance(value, Figure):
        return value
    if not (least < value <= most or value == least == 1) or not math.isfinite(value):
        above = f"{least:g} or more" if least else "a number above 0"
        raise UsageError(
            f"{name} {value:g} is not possible: give {above}{f' and at most {most:g}' if most == 1 else ''}."
        )
    return Figure(value, unit, "assumed", source="given by the user")


def _json(value: Any) -> Any:
    return value.json() if isinstance(value, Figure) else value

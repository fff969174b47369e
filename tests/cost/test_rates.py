import pytest

from tithe import UsageError
from tithe.cost import Figure, Rates, find, this_machine
from tithe.cost.hardware import names
from tithe.cost.rates import carbon


@pytest.mark.parametrize("name", names())
def test_every_device_of_the_table_says_where_its_numbers_come_from(name):
    device = find(name)
    figures = [*device.peaks.values(), device.watts, device.memory, device.usd_per_hour]
    assert all(figure.source and figure.how == "assumed" for figure in figures if figure)
    assert 1e12 < max(peak.value for peak in device.peaks.values()) < 1e16
    assert 50 <= device.watts.value <= 1500
    assert 2009 < device.year < 2030


def test_devices_are_found_by_alias_and_in_any_case():
    assert find("NVIDIA H100 80GB HBM3").name == find("H100").name == "h100-sxm"


def test_hours_energy_and_money_follow_from_flop():
    rates = Rates.on("h100", devices=8, dtype="bfloat16", country="France", utilisation=0.4, pue=1.1, usd_per_hour=3)
    cost = rates.of_flop(Figure(8 * 989.4e12 * 0.4 * 3600, "FLOP", "counted"))
    assert cost.hours.value == pytest.approx(1)
    assert cost.device_hours.value == pytest.approx(8)
    assert cost.kwh.value == pytest.approx(8 * 0.7 * 1.1)
    assert cost.kg_co2.value == pytest.approx(8 * 0.7 * 1.1 * 0.056039)
    assert cost.usd.value == pytest.approx(24)
    assert cost.usd_electricity.value == pytest.approx(8 * 0.7 * 1.1 * 0.155)
    assert {figure.how for figure in vars(cost).values()} == {"modelled"}


def test_the_interval_of_the_flop_and_of_every_assumption_reaches_the_price():
    cost = Rates.on("h100").of_flop(Figure(1e20, "FLOP", "modelled", 1e19, 1e21))
    rates = Rates.on("h100")
    assert cost.usd.low == pytest.approx(1e19 / (66.9e12 * rates.utilisation.high) / 3600 * 2.45)
    assert cost.usd.high == pytest.approx(1e21 / (66.9e12 * rates.utilisation.low) / 3600 * 12.29)


def test_measured_energy_and_seconds_replace_the_models():
    cost = Rates.on("t4", pue=1).of_seconds(Figure(7200, "s", "measured"), Figure(0.1, "kWh", "measured"))
    assert (cost.hours.value, cost.hours.how) == (2, "measured")
    assert cost.kwh.value == 0.1


def test_without_a_price_there_is_none():
    assert Rates.on("b200").of_flop(Figure(1e20, "FLOP", "counted")).usd is None
    assert Rates.on("b200", usd_per_hour=4).of_flop(Figure(1e20, "FLOP", "counted")).usd is not None


def test_the_worlds_electricity_has_an_interval_and_a_countrys_has_not():
    assert carbon().low < carbon().value < carbon().high
    assert carbon("DEU") == carbon("germany")
    assert not carbon("DEU").has_interval


def test_this_machine_is_modelled_with_an_interval():
    machine = this_machine()
    assert machine.watts.source
    assert machine.peak("float32").value > 1e9
    Rates.on(machine).of_flop(Figure(1e12, "FLOP", "counted"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hardware": "h10"}, "did you mean h100"),
        ({"hardware": "abacus"}, "known are gtx-580"),
        ({"country": "Germny"}, "did you mean germany"),
        ({"country": "DE"}, "did you mean deu"),
        ({"pue": 0.5}, "1 or more"),
        ({"utilisation": 1.2}, "at most 1"),
        ({"watts": 0}, "above 0"),
        ({"usd_per_kwh": float("nan")}, "above 0"),
        ({"devices": 0}, "1 or more"),
        ({"hardware": "t4", "dtype": "bfloat16"}, "float32, float16"),
    ],
)
def test_bad_rates_are_refused_with_what_is_allowed(given, words):
    with pytest.raises(UsageError, match=words):
        Rates.on(**given)

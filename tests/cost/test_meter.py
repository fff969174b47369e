"""What a meter reads is what happened."""

import mmap
import time

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import tithe
from tithe.cost import Figure, Rates
from tithe.cost.bill import Bill, Reading


def _sparse() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    return tithe.sparsify(model, 0.2, kernel="sparse")


def _step(model: nn.Module, batch: int = 6) -> None:
    images = torch.rand(batch, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    nn.functional.cross_entropy(model(images), torch.zeros(batch, dtype=torch.long)).backward()


def _closed_form(model: nn.Module, batch: int = 6) -> int:
    """2 FLOP a weight, position and pass; nobody needs the gradient of the pixels."""
    return 2 * batch * (2 * model[0].nnz * 36 + 3 * model[4].nnz)


def test_flop_are_those_of_the_kernels_forward_and_backward():
    model = _sparse()
    with tithe.Meter(energy="watts") as meter:
        _step(model)
    assert meter.flop == _closed_form(model)
    assert (meter.bill.flop.how, meter.bill.flop.value) == ("counted", meter.flop)


def test_steps_are_counted_once_a_shape_and_the_sum_is_exact():
    model = _sparse()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    rewire = tithe.SparseMomentum(model, optimizer, every=4, total_steps=13, scout_steps=2)
    every = FlopCounterMode(display=False)
    with tithe.Meter(flop="steps", energy="watts") as meter:
        for number in range(12):
            batch = 6 if number % 3 else 4
            with meter.step((batch,), model):
                _step(model, batch)
                optimizer.step()
                rewire.step()
                optimizer.zero_grad()
    torch.manual_seed(0)
    model = _sparse()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    rewire = tithe.SparseMomentum(model, optimizer, every=4, total_steps=13, scout_steps=2)
    with every:
        for number in range(12):
            _step(model, 6 if number % 3 else 4)
            optimizer.step()
            rewire.step()
            optimizer.zero_grad()
    assert meter.flop == every.get_total_flops()


def test_without_counting_there_are_no_flop_but_a_bill():
    with tithe.Meter(flop="off", energy="watts") as meter:
        _step(_sparse())
    assert meter.flop is None
    assert meter.bill.flop is None
    assert meter.bill.usd.value > 0


def test_seconds_are_those_of_the_block_and_stand_still_after_it():
    with tithe.Meter(flop="off", energy="watts") as meter:
        time.sleep(0.02)
        inside = meter.reading.seconds.value
    after = meter.reading.seconds.value
    assert 0.02 <= inside <= after
    assert meter.reading.seconds.value == after


def _hold(size: int) -> None:
    """So many bytes, straight from the system and back to it: an allocator may keep what it was given back."""
    with mmap.mmap(-1, size) as block:
        block.write(b"1" * size)


def test_memory_is_the_blocks_own_peak_also_inside_another():
    _hold(1_000)
    with tithe.Meter(flop="off", energy="watts") as outer:
        _hold(80_000_000)
        with tithe.Meter(flop="off", energy="watts") as inner:
            _hold(20_000_000)
    added = inner.reading.memory_added.value, outer.reading.memory_added.value
    assert 15e6 < added[0] < 60e6
    assert 75e6 < added[1] < 160e6


def test_a_bill_comes_also_after_an_error():
    meter = tithe.Meter(energy="watts")

    def fail() -> None:
        with meter:
            _step(_sparse())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert meter.bill.flop.value > 0


def test_energy_without_a_counter_is_watts_times_time_and_says_so():
    rates = Rates.on("t4", pue=1.5)
    reading = Reading(Figure(7200, "s", "measured"), None, None, None, None, None)
    bill = Bill.of(reading, rates)
    assert bill.kwh.value == pytest.approx(2 * 0.070 * 1.5)
    assert bill.kwh.how == "modelled"
    assert "thermal design power" in bill.kwh.source


def test_measured_energy_is_taken_as_it_is():
    reading = Reading(
        Figure(7200, "s", "measured"), None, Figure(0.3, "kWh", "measured", source="zeus"), None, None, None
    )
    assert Bill.of(reading, Rates.on("t4", pue=1)).kwh.value == pytest.approx(0.3)


def test_two_readings_of_one_run_add_up():
    first = Reading(
        *(Figure(v, u, "measured") for v, u in ((1, "s"), (10, "FLOP"), (0.1, "kWh"), (5, "B"), (2, "B"))), None
    )
    second = Reading(
        *(Figure(v, u, "measured") for v, u in ((2, "s"), (20, "FLOP"), (0.2, "kWh"), (4, "B"), (3, "B"))), None
    )
    both = first.then(second)
    assert [both.seconds.value, both.flop.value, both.memory.value, both.memory_added.value] == [3, 30, 5, 3]
    assert both.kwh.value == pytest.approx(0.3)
    assert Reading.from_json(both.json()) == both


class _Broken:
    def __init__(self, when: str) -> None:
        self.when = when

    def begin(self) -> None:
        if self.when == "begin":
            raise OSError("no counter here")

    def end(self) -> None:
        raise OSError("no counter here")


@pytest.mark.parametrize("when", ["begin", "end"])
def test_a_counter_that_fails_does_not_stop_what_is_measured(monkeypatch, when):
    monkeypatch.setattr("tithe.cost.meter.gauge", lambda name: _Broken(when))
    with pytest.warns(UserWarning, match="no counter here"), tithe.Meter(flop="off") as meter:
        pass
    assert meter.bill.kwh.how == "modelled"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"flop": "some"}, "'all', 'steps'"),
        ({"energy": "sun"}, "'codecarbon'"),
        ({"energy": "zeus"}, "cannot be used here"),
    ],
)
def test_what_a_meter_does_not_know_is_refused(arguments, words):
    with pytest.raises(tithe.UsageError, match=words):
        tithe.Meter(**arguments)

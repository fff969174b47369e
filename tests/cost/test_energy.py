"""Energy is read where something reads it, and its label says whether anything did."""

import importlib.util
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import tithe
from tithe.cost import energy
from tithe.cost import meter as meters
from tithe.cost.bill import Bill

needs_codecarbon = pytest.mark.skipif(
    importlib.util.find_spec("codecarbon") is None, reason="needs pip install 'tithe[energy]'"
)


class _Part:
    """A part of codecarbon's hardware."""

    def __init__(self, mode: str | None = None, watts: float | None = None) -> None:
        if mode:
            self._mode, self._tdp = mode, watts


class AppleSiliconChip:
    """As codecarbon's class of this name."""

    chip_part = "CPU"


class RAM:
    """As codecarbon's class of this name."""

    def total_power(self) -> Any:
        return types.SimpleNamespace(W=20.0)


class _Tracker:
    """As codecarbon 3.3's tracker answers: differences since start_task."""

    def __init__(self, *hardware: object, cpu: float = 0.2) -> None:
        self._hardware, self.cpu = hardware, cpu

    def start_task(self) -> None:
        pass

    def stop_task(self) -> object:
        return types.SimpleNamespace(cpu_energy=self.cpu, ram_energy=0.1, gpu_energy=0.5)


def _codecarbon(*hardware: object, cpu: float = 0.2) -> energy.Codecarbon:
    made = energy.Codecarbon()
    made._tracker = _Tracker(*hardware, cpu=cpu)
    return made


def _window(gauge: energy.Gauge) -> Any:
    gauge.begin()
    return gauge.end()


@pytest.mark.parametrize(
    ("part", "how", "words"),
    [
        (_Part("cpu_load", 8), "modelled", "8 W at full load x the machine's load, no counter could be read"),
        (_Part("constant", None), "modelled", "its rated watts"),
        (_Part("intel_rapl", 85), "measured", "the RAPL counter"),
        (AppleSiliconChip(), "measured", "powermetrics"),
    ],
)
def test_codecarbons_processor_is_measured_only_where_a_counter_is_read(part, how, words):
    assert energy._processor([RAM(), part])[0] == how
    figure = _window(_codecarbon(RAM(), part))
    assert figure.value == pytest.approx(0.8)
    assert figure.how == "modelled", "memory is always modelled, so the sum is"
    assert words in figure.source
    assert "memory: 20 W by its size" in figure.source


def test_a_counter_that_stands_still_is_not_believed(monkeypatch):
    monkeypatch.setattr(energy, "_STUCK_SECONDS", 0.0)
    assert _window(_codecarbon(_Part("intel_rapl", 85), cpu=0.0)) is None
    assert _window(_codecarbon(_Part("cpu_load", 85), cpu=0.0)) is not None


def test_a_tracker_that_did_not_start_is_said(monkeypatch):
    monkeypatch.setattr(meters, "gauge", lambda name: _codecarbon())
    with pytest.warns(UserWarning, match="codecarbon did not start"), tithe.Meter(flop="off") as meter:
        pass
    assert meter.bill.kwh.how == "modelled"


class _ZeusMonitor:
    """As zeus 0.16's monitor: joules by card."""

    def __init__(self, gpu_indices: list[int] | None = None, cpu_indices: list[int] | None = None) -> None:
        assert cpu_indices == [], "its RAPL part needs root, and codecarbon has the processor"
        self.windows: list[str] = []

    def begin_window(self, key: str, sync_execution: bool = True) -> None:
        assert key not in self.windows
        self.windows.append(key)

    def end_window(self, key: str, sync_execution: bool = True, cancel: bool = False) -> object:
        self.windows.remove(key)
        return types.SimpleNamespace(time=1.0, gpu_energy={0: 1.8e6, 1: 1.8e6}, cpu_energy=None)


@pytest.fixture
def zeus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two NVIDIA cards, as far as zeus can tell."""
    package, module = types.ModuleType("zeus"), types.ModuleType("zeus.monitor")
    package.__spec__ = importlib.util.spec_from_loader("zeus", None)
    module.ZeusMonitor = _ZeusMonitor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "zeus", package)
    monkeypatch.setitem(sys.modules, "zeus.monitor", module)
    monkeypatch.setattr(energy, "_has_nvidia", lambda: True)


@pytest.mark.usefixtures("zeus")
def test_zeus_measures_the_cards_window_after_window():
    gauge = energy.gauge("zeus")
    for _ in range(2):
        figure = _window(gauge)
        assert (figure.value, figure.how) == (pytest.approx(1.0), "measured")
    with tithe.Meter(flop="off", energy="zeus") as meter:
        assert meter.reading.kwh.value == pytest.approx(1.0)
    assert meter.reading.kwh.value == pytest.approx(2.0)
    assert "zeus, NVIDIA cards alone" in meter.bill.kwh.source


@pytest.mark.usefixtures("zeus")
def test_zeus_takes_the_place_of_codecarbons_share_for_the_cards():
    assert _window(energy.Several([_codecarbon(_Part("cpu_load", 8))])).value == pytest.approx(0.8)
    both = _window(energy.Several([energy.Zeus(), _codecarbon(_Part("cpu_load", 8))]))
    assert both.value == pytest.approx(1.0 + 0.3)
    assert both.how == "modelled", "memory and processor were not measured"


@pytest.mark.usefixtures("zeus")
def test_what_codecarbon_takes_to_start_is_not_in_zeus_window(monkeypatch):
    order = []
    for kind in (energy.Zeus, energy.Codecarbon):
        monkeypatch.setattr(kind, "begin", lambda self: order.append(type(self).__name__))
        monkeypatch.setattr(kind, "end", lambda self: order.append(type(self).__name__))
    gauge = energy.Several([energy.Zeus(), energy.Codecarbon()])
    gauge.begin()
    assert gauge.end() is None, "nothing was read"
    assert order == ["Codecarbon", "Zeus", "Zeus", "Codecarbon"]


def test_the_environment_says_what_auto_is(monkeypatch):
    monkeypatch.setenv(energy.ENVIRONMENT, "Watts")
    assert isinstance(energy.gauge("auto"), energy.Watts)
    monkeypatch.setenv(energy.ENVIRONMENT, "sun")
    with pytest.raises(tithe.UsageError, match="'sun' was given"):
        energy.gauge("auto")
    assert isinstance(energy.gauge("watts"), energy.Watts)


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_environment_variable_is_none(monkeypatch, empty):
    monkeypatch.setenv(energy.ENVIRONMENT, empty)
    monkeypatch.setattr(energy, "_usable", lambda name: False)
    assert isinstance(energy.gauge("auto"), energy.Watts)


METERED = """
import json, os, socket, sys, time
asked = []
def refuse(*arguments, **options):
    asked.append(repr(arguments))
    raise OSError("the network was asked")
socket.socket.connect = socket.getaddrinfo = refuse
import tithe
from tithe.cost import Rates
bills = []
for _ in range(2):
    with tithe.Meter(flop="off", energy="codecarbon", rates=Rates.on("processor", pue=1.0)) as meter:
        time.sleep(float(sys.argv[1]))
    bills.append(meter.bill.json() | {"reading": meter.reading.json()})
print(json.dumps({"bills": bills, "asked": asked}))
"""


def _metered(folder: Path, seconds: float, *before: str, **environment: str) -> list[dict[str, Any]]:
    """The bills of two blocks, one after the other, in a process of their own."""
    import json

    command = [*before, sys.executable, "-W", "error", "-c", METERED, str(seconds)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | environment)
    assert result.returncode == 0, result.stderr
    assert result.stderr == "", "nothing of codecarbon's own reaches our user"
    said = json.loads(result.stdout)
    assert said["asked"] == [], "the network was asked"
    return said["bills"]


@needs_codecarbon
def test_codecarbon_gives_a_figure_without_the_network_whatever_it_is_configured_to_send(tmp_path):
    """The user's own configuration of codecarbon may not make it send, write, or count the PUE twice."""
    (tmp_path / ".codecarbon.config").write_text(
        "[codecarbon]\nsave_to_api=true\nsave_to_file=true\noutput_methods=csv,api\npue=1000\noutput_dir=/nowhere\n"
        "emissions_endpoint=http://localhost:9/\nelectricitymaps_api_token=x\nco2_signal_api_token=x\n"
    )
    for bill in _metered(tmp_path, 0.1, CODECARBON_TRACKING_MODE="process"):
        assert bill["kwh"]["source"].startswith("codecarbon, processor: ")
        watts = bill["kwh"]["value"] * 3.6e6 / bill["seconds"]["value"]
        assert 1 < watts < 2000
    assert [path.name for path in tmp_path.iterdir()] == [".codecarbon.config"]


@needs_codecarbon
@pytest.mark.skipif(not shutil.which("unshare") or os.geteuid() != 0, reason="needs root and Linux: it mounts")
def test_codecarbon_measures_where_a_rapl_counter_can_be_read(tmp_path):
    """A counter at 40 W, in a mount namespace of its own; the memory's share is codecarbon's model."""
    script = tmp_path / "rapl.sh"
    script.write_text(RAPL)
    first, second = _metered(tmp_path, 0.5, "unshare", "--mount", "bash", str(script))
    for bill in (first, second):
        assert "codecarbon, processor: the RAPL counter" in bill["kwh"]["source"]
        memory = float(bill["kwh"]["source"].split("memory: ")[1].split(" W")[0])
        watts = bill["kwh"]["value"] * 3.6e6 / bill["seconds"]["value"]
        assert watts == pytest.approx(40 + memory, rel=0.25)


RAPL = """
set -e
mount -t tmpfs none /sys/class
zone=/sys/class/powercap/intel-rapl/intel-rapl:0
mkdir -p $zone /sys/class/powercap/intel-rapl/subsystem
ln -s $zone /sys/class/powercap/intel-rapl/subsystem/intel-rapl:0
echo package-0 > $zone/name
echo 262143328850 > $zone/max_energy_range_uj
echo 1000000 > $zone/energy_uj
python3 - $zone/energy_uj <<'COUNTER' &
import os, sys, time
began, parent = time.time(), os.getppid()
while os.getppid() == parent and time.time() < began + 60:
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(str(int(1e6 + (time.time() - began) * 40e6)))
    os.replace(sys.argv[1] + ".new", sys.argv[1])
    time.sleep(0.005)
COUNTER
counter=$!
trap "kill $counter" EXIT
"$@"
"""


def test_bills_say_modelled_where_nothing_was_read():
    with tithe.Meter(flop="off", energy="watts") as meter:
        pass
    bill: Bill = meter.bill
    assert meter.reading.kwh is None
    assert (bill.kwh.how, "no counter was read" in bill.kwh.source) == ("modelled", True)

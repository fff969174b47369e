"""Runs as the ledger has them, made up."""

from typing import Any

from tithe.cost import Rates
from tithe.cost.bill import Bill, Reading
from tithe.cost.figure import Figure
from tithe.cost.run import Point, Run

HOSTILE = "$\\frac{$ <script>alert(1)</script>\"'&amp;<img src=http://evil.example/x onerror=alert(1)> --> {{ 7*7 }}"


def bill(flop: float, seconds: float) -> dict[str, Any]:
    """The bill of a half on a T4."""
    reading = Reading(
        Figure(seconds, "s", "measured", source="a clock"),
        Figure(flop, "FLOP", "counted", source="torch's counter"),
        None,
        Figure(4e8, "B", "measured", source="highest resident set"),
        None,
        None,
    )
    return Bill.of(reading, Rates.on("t4")).json()


def plan(flop: float, seconds: float) -> dict[str, Any]:
    """What was predicted of a half: time a tenth too short, memory not known."""
    exact = {key: Figure(flop, "FLOP", how).json() for key, how in (("predicted", "modelled"), ("measured", "counted"))}
    expected = Figure(0.9 * seconds, "s", "modelled", 0.5 * seconds, 2 * seconds)
    time = {"predicted": expected.json(), "measured": Figure(seconds, "s", "measured").json(), "ratio": 1 / 0.9}
    return {"flop": exact | {"ratio": 1.0}, "seconds": time}


def half(name: str, error: float | None = 0.0147, flop: float = 1.43e10, seconds: float = 41.2, **more: Any) -> Run:
    """A half of LeNet-300-100 on MNIST."""
    sparse = name == "sparse"
    curve = [
        Point(epoch, (error or 0.1) * (1 + 6 / epoch), 0.3 / epoch, flop * epoch / 20, seconds * epoch / 20)
        for epoch in range(1, 21)
    ]
    fields: dict[str, Any] = {
        "run": "0123456789abcdef" * 2,
        "half": name,
        "finished": "2026-05-04T03:02:01+00:00",
        "data": "mnist",
        "model": "lenet-300-100",
        "method": "sparse-momentum" if sparse else "dense",
        "density": 0.05 if sparse else 1.0,
        "seed": 0,
        "epochs": 20,
        "batch_size": 100,
        "examples": 60000,
        "parameters": 13310 if sparse else 266200,
        "logical_parameters": 266200,
        "error": error,
        "flop": flop,
        "seconds": seconds,
        "machine": "AMD EPYC 7763",
        "version": "0.1.0",
        "more": {
            "recipe": {"lr": 0.1, "lr_drops": [0.5, 0.75], "nesterov": True, "seed": 0, "threads": None},
            "machine": {"processor": "AMD EPYC 7763", "torch": "2.13.0"},
            "bill": bill(flop, seconds),
            "plan": plan(flop, seconds),
            "data_sha256": "ab" * 32,
            "test_examples": 10000,
            "training_memory": {"steady_bytes": 320_000, "peak_bytes": 1_400_000},
        },
        "curve": tuple(curve),
    }
    return Run(**(fields | more))


def pair(**more: Any) -> list[Run]:
    """A run with both halves."""
    return [half("sparse", **more), half("dense", 0.0131, 1.52e11, 64.9, **more)]


def imported(**more: Any) -> Run:
    """Somebody else's run: little is known."""
    fields = {"run": "feed:2", "half": "imported", "finished": "2026-05-04T00:00:00+00:00", "error": 0.235}
    return Run(**(fields | {"model": "resnet50", "data": "imagenet", "flop": 1e18} | more))

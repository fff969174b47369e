"""A trained half becomes a row of the ledger; a ledger that cannot be written never costs a run."""

import datetime
import warnings
from typing import Any

import tithe
from tithe.cost import ledger
from tithe.cost.figure import Figure
from tithe.cost.ledger import LedgerError
from tithe.cost.run import Point, Run
from tithe.train.loop import Training
from tithe.train.results import machine, plain


def record(run: Run) -> None:
    """Append the run to the user's ledger; a warning where that is not possible, nothing where it is switched off."""
    where = ledger.path()
    if where is None:
        return
    try:
        ledger.add(where, [run])
    except LedgerError as error:
        warnings.warn(f"the {run.half} half is {run.status}, but it is not in the ledger: {error}", stacklevel=2)


def row(uid: str, training: Training, plan: dict[str, Any] | None = None, ended: str = "diverged") -> Run:
    """What the ledger keeps of one half, as far as it came; `plan` is predicted beside measured, `ended` is what
    became of it where it is not finished."""
    recipe, dataset = training.recipe, training.dataset
    nnz, logical = training.network.weights()
    bill = training.spending.bill()
    computer = machine()
    finished = training.epoch == recipe.epochs
    last = training.history[-1] if finished else {}
    return Run(
        run=uid,
        half=training.half,
        finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        status="finished" if finished else ended,
        data=dataset.name,
        model=recipe.model,
        method=recipe.method if training.half == "sparse" else "dense",
        density=nnz / logical,
        seed=recipe.seed,
        epochs=training.epoch,
        batch_size=recipe.batch_size,
        examples=len(dataset.y_train),
        parameters=nnz,
        logical_parameters=logical,
        error=1 - last["accuracy"] if finished else None,
        loss=last.get("test_loss"),
        flop=training.flop.total,
        seconds=training.seconds,
        kwh=_value(bill and bill.kwh),
        kg_co2=_value(bill and bill.kg_co2),
        usd=_value(bill and bill.usd),
        machine=computer["processor"],
        version=tithe.__version__,
        more={
            "recipe": plain(recipe),
            "machine": computer,
            "data_sha256": dataset.sha256,
            "test_examples": len(dataset.y_test),
            "training_memory": {
                "steady_bytes": training.peaks.steady.total,
                "peak_bytes": training.peaks.highest.total,
            },
            "bill": None if bill is None else bill.json(),
            "plan": plan,
        },
        curve=tuple(_point(epoch) for epoch in training.history),
    )


def _point(epoch: dict[str, Any]) -> Point:
    return Point(epoch["epoch"], 1 - epoch["accuracy"], epoch["test_loss"], epoch["training_flop"], epoch["seconds"])


def _value(figure: Figure | None) -> float | None:
    return figure.value if figure is not None else None

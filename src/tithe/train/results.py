"""What a trained half amounts to, and the report of a run: figures with unit and provenance."""

import math
import platform
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

import tithe
from tithe import _kernels
from tithe.cost.hardware import processor_name
from tithe.nn import sparse_layers
from tithe.train.data import Dataset
from tithe.train.loop import Training
from tithe.train.network import weight_layers
from tithe.train.recipe import Recipe

FORMAT = 1

UNITS = {
    "accuracy": ("1", "measured", "fraction of the test examples classified rightly, after the last epoch"),
    "loss": ("nat", "measured", "mean cross-entropy on the test examples, after the last epoch"),
    "density": ("1", "counted", "nnz / logical_weights"),
    "nnz": ("weights", "counted", "weights that exist in linear and convolution layers, biases not counted"),
    "logical_weights": ("weights", "counted", "weights that the same layers would have if they were dense"),
    "seconds": (
        "s",
        "measured",
        "wall-clock time of training: batches, steps, rewirings; no evaluation, no checkpoints",
    ),
    "training_flop": (
        "FLOP",
        "counted",
        "2 per multiply-add of linear and convolution layers in every training step",
    ),
    "weight_bytes": ("byte", "measured", "values, biases, norms and topologies, outside scouting"),
    "index_bytes": ("byte", "measured", "the topologies' part of weight_bytes"),
    "gradient_bytes": ("byte", "measured", "gradients of all parameters, outside scouting"),
    "optimizer_bytes": ("byte", "measured", "the optimizer's state, outside scouting"),
    "steady_bytes": (
        "byte",
        "measured",
        "most bytes of weights, topologies, gradients, optimizer state outside scouting",
    ),
    "peak_bytes": ("byte", "measured", "the same, scouting and its accumulators included"),
    "scout_bytes": ("byte", "measured", "dense accumulators at the moment of peak_bytes"),
    "epochs": ("epochs", "counted", "passes over the training examples"),
    "steps": ("steps", "counted", "optimizer steps"),
    "rewirings": ("rewirings", "counted", "times the topology was changed"),
    "accuracy_points": ("percentage points", "measured", "accuracy of sparse minus dense, times 100"),
}
RATIOS = ("seconds", "training_flop", "weight_bytes", "steady_bytes", "peak_bytes", "nnz")


def half_report(training: Training) -> dict[str, Any]:
    """The figures of one trained half, `report.json`'s "sparse" or "dense"."""
    steady, highest = training.peaks.steady, training.peaks.highest
    nnz, logical = training.network.weights()
    last = training.history[-1]
    bill = training.spending.bill()
    return {
        "accuracy": last["accuracy"],
        "loss": last["test_loss"],
        "density": nnz / logical,
        "nnz": nnz,
        "logical_weights": logical,
        "seconds": training.seconds,
        "training_flop": training.flop.total,
        "weight_bytes": steady.weights + steady.indices,
        "index_bytes": steady.indices,
        "gradient_bytes": steady.gradients,
        "optimizer_bytes": steady.optimizer,
        "steady_bytes": steady.total,
        "peak_bytes": highest.total,
        "scout_bytes": highest.scouting,
        "epochs": training.epoch,
        "steps": training.step,
        "rewirings": training.rewirings(),
        "bill": None if bill is None else bill.json(),
        "history": training.history,
        "layers": [
            {"name": name, "shape": list(shape), "nnz": nnz, "density": nnz / math.prod(shape)}
            for name, (shape, nnz) in weight_layers(training.network.model).items()
        ],
        "first_layer_inputs": first_layer_inputs(training),
    }


def first_layer_inputs(training: Training) -> dict[str, Any] | None:
    """How many weights of the first layer look at each pixel; None where the first layer is no sparse linear layer
    on an image."""
    shape = tuple(training.dataset.x_train.shape[1:])
    first = next(iter(sparse_layers(training.network.model).values()), None)
    if first is None or len(shape) != 3 or first.topology.shape[1] != math.prod(shape) or len(first.weight_shape) != 2:
        return None
    columns = first.topology.indices.to(torch.int64)
    kept = torch.bincount(columns, minlength=math.prod(shape)).reshape(shape).sum(0)
    return {"shape": list(shape), "kept": kept.tolist()}


def report(
    dataset: Dataset,
    recipe: Recipe,
    sparse: dict[str, Any],
    dense: dict[str, Any] | None,
    plan: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole of `report.json`; `plan` is what was expected before."""
    return {
        "format": FORMAT,
        "tithe": tithe.__version__,
        "data": {
            "name": dataset.name,
            "n_train": len(dataset.y_train),
            "n_test": len(dataset.y_test),
            "input_shape": list(dataset.x_train.shape[1:]),
            "classes": dataset.classes,
            "sha256": dataset.sha256,
        },
        "model": recipe.model,
        "method": recipe.method,
        "recipe": plain(recipe),
        "machine": machine(),
        "plan": plan,
        "sparse": sparse,
        "dense": dense,
        "ratios": ratios(sparse, dense) if dense is not None else None,
        "units": {
            name: {"unit": unit, "known": known, "meaning": meaning} for name, (unit, known, meaning) in UNITS.items()
        },
    }


def ratios(sparse: dict[str, Any], dense: dict[str, Any]) -> dict[str, float]:
    """Sparse divided by dense; the accuracies are subtracted instead, in percentage points."""
    return {name: sparse[name] / dense[name] for name in RATIOS} | {
        "accuracy_points": 100 * (sparse["accuracy"] - dense["accuracy"])
    }


def plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON holds it."""
    return asdict(recipe) | {"lr_drops": list(recipe.lr_drops)}


def machine() -> dict[str, Any]:
    """What the seconds were measured on."""
    return {
        "processor": processor_name(),
        "instruction_set": _kernels.instruction_set(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }

"""What the user writes is what is measured; what cannot be measured is refused."""

import pytest
import torch

from tithe.bench.job import Job, rows_of
from tithe.bench.rows import DEFAULT_LAYERS, LARGE_LAYERS, layer_rows, model_rows
from tithe.errors import UsageError


def test_specs_name_their_layers():
    rows = layer_rows("linear:784x300@128,conv:64-32-3x5,16x12@8  linear:2x3@4")
    assert [row.title for row in rows] == [
        "Linear 784 -> 300, batch 128",
        "Conv 64 -> 32 3x5, 16x12, batch 8",
        "Linear 2 -> 3, batch 4",
    ]
    assert [row.input_shape for row in rows] == [(128, 784), (8, 64, 16, 12), (4, 2)]
    assert rows[1].make()(torch.zeros(rows[1].input_shape)).shape == (8, 32, 16, 12)


def test_default_and_all():
    assert [row.spec for row in layer_rows(None)] == list(DEFAULT_LAYERS)
    assert [row.spec for row in layer_rows("all")] == [*DEFAULT_LAYERS, *LARGE_LAYERS]
    assert [row.input_shape for row in model_rows(None)] == [(100, 3, 32, 32), (100, 1, 28, 28)]


@pytest.mark.parametrize(
    "spec",
    ["", "linear", "linear:3x4", "linear:0x4@2", "linear:3x4@2.5", "conv:3-4-3x3@2", "conv:1-1-3x3,0x3@1", "x:3"],
)
def test_another_shape_is_refused(spec):
    with pytest.raises(UsageError, match="write linear:INxOUT@BATCH or conv:IN-OUT-KxK,HxW@BATCH"):
        layer_rows(spec)


def test_a_padded_image_is_never_smaller_than_its_kernel():
    (row,) = layer_rows("conv:2-3-8x9,1x1@2")  # the smallest image and large kernels, even and odd
    assert row.make()(torch.zeros(row.input_shape)).shape == (2, 3, 2, 1)


def test_models_take_a_batch():
    (row,) = model_rows("mlp:8@3")
    assert row.make()(torch.zeros(row.input_shape)).shape == (3, 10)
    for wrong in ("mlp:8@", "mlp:8@0", "mlp:8@x"):
        with pytest.raises(UsageError, match="NAME@BATCH"):
            model_rows(wrong)
    with pytest.raises(UsageError, match="unknown model 'nosuch'"):
        model_rows("nosuch@4")


def test_options_of_the_other_kind_are_refused():
    with pytest.raises(UsageError, match="layer or step"):
        rows_of("network", None, None)
    with pytest.raises(UsageError, match="--models was given"):
        rows_of("layer", None, "mlp:8")
    with pytest.raises(UsageError, match="--shapes was given"):
        rows_of("step", "linear:2x2@2", None)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"densities": (0.1, 0.0)}, "density 0 was given"),
        ({"densities": (1.5,)}, "density 1.5 was given"),
        ({"densities": (float("nan"),)}, "density nan was given"),
        ({"threads": (1, 0)}, "0 threads were given"),
        ({"seconds": 0.0}, "0 seconds were given"),
        ({"seconds": float("inf")}, "inf seconds were given"),
    ],
)
def test_what_cannot_be_is_refused(wrong, words):
    with pytest.raises(UsageError, match=words):
        Job([], **wrong)

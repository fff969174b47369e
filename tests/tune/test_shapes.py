"""Widths and depths from a model's name, and networks within a number of weights."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tithe.errors import UsageError
from tithe.tune.shapes import Mlp, Wrn, family, named, weights_of, within

IMAGE, CLASSES = (1, 8, 8), 10


def test_names_say_widths_and_depth():
    assert family("mlp:300-100") == family("lenet-300-100") == Mlp((300, 100))
    assert family("wrn-16-4") == Wrn(2, 4)
    with pytest.raises(UsageError, match="lenet-5 does not say its widths and depth"):
        family("lenet-5")


def test_scaled_by_nothing_is_the_same_network():
    assert Mlp((300, 100)).scaled(1.0, 2) == "mlp:300-100"
    assert Wrn(2, 4).scaled(1.0, 2) == "wrn-16-4"


def test_another_depth_spreads_the_widths_and_a_width_multiplies_them():
    assert Mlp((400, 100)).scaled(0.5, 3) == "mlp:200-100-50"
    assert Mlp((400, 100)).scaled(1.0, 1) == "mlp:400"
    assert Mlp((64,)).scaled(2.0, 2) == "mlp:128-128"
    assert Wrn(2, 4).scaled(0.1, 3) == "wrn-22-1"


@given(st.integers(1, 6), st.floats(0.25, 4.0), st.integers(700, 50_000))
def test_a_perceptron_within_weights_is_the_widest_that_has_no_more(depth, taper, weights):
    found = Mlp((64, 64)).within(weights, depth, taper, IMAGE, CLASSES)
    model, widths = found["model"], [int(width) for width in found["model"].removeprefix("mlp:").split("-")]
    assert found["method"] == "dense"
    assert len(widths) == depth
    assert weights_of(model, IMAGE, CLASSES) <= weights
    wider = Mlp(tuple(width + 1 for width in widths)).scaled(1.0, depth)
    assert weights_of(wider, IMAGE, CLASSES) > weights


def test_a_wide_resnet_within_weights_is_shrunk_to_them():
    found = Wrn(2, 1).within(100_000, 1, 2.0, (3, 8, 8), CLASSES)
    assert found["method"] == "small-dense"
    assert found["density"] * weights_of(found["model"], (3, 8, 8), CLASSES) == pytest.approx(100_000)
    assert found["density"] <= 1
    assert found["taper"] == 2.0


def test_any_other_model_keeps_its_depth_and_a_share_of_its_weights():
    assert named("lenet-5") is None
    found = within("lenet-5", 0.1, {"taper": 0.5}, (1, 28, 28), CLASSES)
    assert found == {"model": "lenet-5", "method": "small-dense", "density": 0.1, "taper": 0.5}
    assert within("mlp:64-64", 0.1, {}, IMAGE, CLASSES) == Mlp((64, 64)).within(
        0.1 * weights_of("mlp:64-64", IMAGE, CLASSES), 2, 1.0, IMAGE, CLASSES
    )


def test_too_few_weights_for_a_network_are_refused():
    with pytest.raises(UsageError, match="give more density"):
        Mlp((64, 64)).within(70, 4, 1.0, IMAGE, CLASSES)

"""What is tuned, from where to where, and what is refused."""

import pytest

from tithe.errors import UsageError
from tithe.train.defaults import complete
from tithe.tune.space import PARAMS, fields, searched, space

RECIPE = complete("digits", {"model": "mlp:64-32", "method": "rigl"})


def test_every_range_holds_the_recipes_own_value_and_changes_nothing_there():
    for param in space(list(PARAMS), {}, RECIPE):
        assert param.low <= param.start <= param.high
    found = {param.name: param.start for param in space(list(PARAMS), {}, RECIPE)}
    same = {"lr": RECIPE.lr, "rate": 0.3, "weight_decay": 5e-4, "density": 0.05, "model": "mlp:64-32"}
    assert fields(found, RECIPE) == same


def test_what_is_tuned_unless_something_is_named():
    assert [param.name for param in space([], {}, RECIPE)] == ["lr", "rate", "weight-decay"]
    assert [param.name for param in space([], {}, complete("digits", {"method": "dense"}))] == ["lr", "weight-decay"]
    assert [param.name for param in space(["lr"], {"rate": (0.1, 0.4)}, RECIPE)] == ["lr", "rate"]


@pytest.mark.parametrize(
    ("names", "ranges", "method", "says"),
    [
        (["learning-rate"], {}, "rigl", "did you mean lr"),
        (["weight_decay"], {}, "rigl", "did you mean weight-decay"),
        (["epochs"], {}, "rigl", "choose of lr, rate, weight-decay, density, width, depth"),
        (["rate"], {}, "static", "drops no fraction"),
        (["density"], {}, "dense", "has no density"),
        ([], {"lr": (0.3, 0.1)}, "rigl", "the lower first"),
        ([], {"lr": (0.0, 0.1)}, "rigl", "numbers above 0"),
        ([], {"density": (0.01, 2.0)}, "rigl", "at most 1"),
        ([], {"lr": (0.2, 0.4)}, "rigl", "does not hold the recipe's own 0.1"),
        ([], {"depth": (1.0, 2.5)}, "rigl", "two whole numbers"),
        ([], {"lr": (float("nan"), 1.0)}, "rigl", "not possible"),
    ],
)
def test_refusals(names, ranges, method, says):
    with pytest.raises(UsageError, match=says):
        space(names, ranges, complete("digits", {"model": "mlp:64-32", "method": method}))


@pytest.mark.parametrize(
    ("model", "names"), [("mlp:64", "depth taper"), ("wrn-16-2", "depth taper"), ("vgg-d", "taper")]
)
def test_what_a_search_chooses(model, names):
    params = searched(complete("digits", {"model": model}))
    assert " ".join(param.name for param in params) == names
    assert all(param.low <= param.start <= param.high for param in params)


def test_a_model_without_widths_in_its_name_has_none_to_tune():
    with pytest.raises(UsageError, match="does not say its widths and depth"):
        space(["width"], {}, complete("digits", {"model": "lenet-5"}))

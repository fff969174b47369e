"""A recipe that can be made can be trained; the defaults are the published ones."""

import math
from dataclasses import replace

import pytest

from tithe.errors import UsageError
from tithe.train.defaults import DEFAULTS, OWN_DATA, complete
from tithe.train.recipe import batch_bounds, timetable

_GOOD = DEFAULTS["digits"]


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("density", [0.0, -0.1, 1.0001, math.nan, math.inf]),
        ("epochs", [0, -1]),
        ("batch_size", [0, -1]),
        ("threads", [0, -1, 10**6]),
        ("rewire_every", [0]),
        ("scout_steps", [0]),
        ("seed", [-1, 2**63]),
        ("lr", [0.0, -0.1, math.nan, math.inf]),
        ("weight_decay", [-1e-9, math.nan, math.inf]),
        ("momentum", [-0.1, 1.0, math.nan, 0.0]),
        ("rate", [0.0, 1.0, math.nan]),
        ("budget", ["erks", ""]),
        ("augment", ["flip"]),
        ("compare", ["sparse"]),
        ("lr_drops", [(0.0,), (1.0,), (0.5, math.nan)]),
    ],
)
def test_values_out_of_range_are_refused_by_name(field, bad):
    for value in bad:
        with pytest.raises(UsageError, match=field.split("_")[0] if field != "lr" else "learning rate"):
            replace(_GOOD, **{field: value})


@pytest.mark.parametrize("density", [1.0, 5e-324])
def test_the_limits_themselves_are_allowed(density):
    assert replace(_GOOD, density=density).density == density


def test_mnist_for_a_hundred_epochs_is_the_papers_recipe():
    recipe = complete("mnist", {"epochs": 100})
    times = timetable(recipe, 60_000)
    assert (recipe.model, recipe.batch_size, recipe.lr, recipe.weight_decay) == ("lenet-300-100", 100, 0.1, 5e-4)
    assert (times.total_steps, times.lr_drop_steps, times.rewire_every) == (60_000, (25_000, 50_000), 600)


def test_cifar10_for_250_epochs_is_the_papers_recipe():
    times = timetable(complete("cifar10", {"epochs": 250}), 50_000)
    assert (times.total_steps, times.lr_drop_steps) == (97_750, (30_000, 60_000, 90_000))


def test_the_learning_rate_is_divided_by_ten_after_each_drop():
    times = timetable(replace(_GOOD, epochs=4, batch_size=100, lr_drops=(0.5, 0.75)), 400)
    assert [times.lr(0.1, step) for step in (1, 8, 9, 12, 13, 16)] == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]


@pytest.mark.parametrize(("n", "epochs_apart"), [(1_500, 14), (19_900, 2), (20_000, 1), (60_000, 1)])
def test_rewirings_fall_on_ends_of_epochs_with_room_for_scouting(n, epochs_apart):
    times = timetable(replace(_GOOD, batch_size=100), n)
    assert times.rewire_every == epochs_apart * times.steps_per_epoch
    assert times.rewire_every >= 200


@pytest.mark.parametrize(("n", "every"), [(100, 10), (1_000, 100), (900, 90)])
def test_a_short_training_has_one_rewiring_in_its_middle(n, every):
    assert timetable(replace(_GOOD, batch_size=100), n).rewire_every == every
    assert timetable(replace(_GOOD, batch_size=100, epochs=1), 100).rewire_every == 1


def test_rewire_every_can_be_told():
    assert timetable(replace(_GOOD, rewire_every=7), 1000).rewire_every == 7


def test_every_example_is_in_one_batch():
    assert batch_bounds(10, 4) == [(0, 4), (4, 8), (8, 10)]
    assert batch_bounds(3, 4) == [(0, 3)]
    assert batch_bounds(3, 1) == [(0, 1), (1, 2), (2, 3)]
    assert batch_bounds(1, 4) == [(0, 1)]


def test_a_last_batch_of_one_is_left_out():
    assert batch_bounds(9, 4) == [(0, 4), (4, 8)]


def test_a_model_for_own_data_follows_the_shape():
    assert OWN_DATA.for_input((20,)).model == "mlp:512-512"
    assert OWN_DATA.for_input((3, 32, 32)).model == "wrn-16-2"
    assert replace(OWN_DATA, model="resnet18").for_input((3, 32, 32)).model == "resnet18"

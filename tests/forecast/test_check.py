"""Bad input: one sentence that says what was given, what is allowed, what to do."""

import math

import pytest

from tithe.errors import UsageError
from tithe.forecast import fit

SIZES, ERRORS = [1e15, 1e16, 1e17, 1e18, 1e19], [0.4, 0.3, 0.25, 0.22, 0.2]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"error": [0.4, 0.3, 0.0, 0.22, 0.2]}, ("run 2", "outside (0, 1]")),
        ({"error": [0.4, 0.3, -0.1, 0.22, 0.2]}, ("run 2", "outside (0, 1]")),
        ({"error": [0.4, 0.3, 250.0, 0.22, 0.2]}, ("run 2", "outside (0, 1]")),
        ({"error": [40, 30, 25, 22, 20]}, ("looks like percent", "--percent")),
        ({"error": [0.4, 30, 25, 22, 20]}, ("mixed units", "run 0", "run 1")),
        ({"compute": [0, 1e16, 1e17, 1e18, 1e19]}, ("run 0", "0 or less")),
        ({"compute": [-5, 1e16, 1e17, 1e18, 1e19]}, ("run 0", "0 or less")),
        ({"compute": [math.nan, 1e16, 1e17, 1e18, math.inf]}, ("run 0, run 4", "no number")),
        ({"error": [0.4, math.nan, 0.25, 0.22, 0.2]}, ("run 1", "no number")),
        ({"compute": SIZES[:3], "error": ERRORS[:3]}, ("3 runs", "4 or more")),
        ({"compute": SIZES[:1], "error": ERRORS[:1]}, ("1 run was given", "4 or more")),
        ({"compute": [], "error": []}, ("0 runs", "4 or more")),
        ({"compute": [1e15] * 5}, ("all 5 runs", "different sizes")),
        ({"compute": SIZES[:4]}, ("shape", "same length")),
        ({"target": 5}, ("target 5", "0.05")),
        ({"target": 0}, ("target 0",)),
        ({"target": math.nan}, ("target",)),
        ({"axis": "money"}, ("'money'", "compute, data, parameters")),
        ({"level": 90}, ("level 90",)),
        ({"frontier": True}, ("10 or more", "--frontier")),
        ({"year": [2012, 2013]}, ("2 years", "5 runs")),
    ],
)
def test_refused_in_a_sentence(changes: dict, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        fit(**({"compute": SIZES, "error": ERRORS} | changes))
    message = str(caught.value)
    for word in words:
        assert word in message, message
    assert message.endswith(".")
    assert "\n" not in message


def test_many_bad_runs_are_named_in_part() -> None:
    with pytest.raises(UsageError, match="run 0, run 1, run 2, run 3, run 4 and 3 more"):
        fit([0.0] * 8, [0.1] * 8)


def test_an_error_of_one_is_allowed() -> None:
    assert fit(SIZES, [1.0, 0.8, 0.6, 0.5, 0.4]).verdict


def test_percent_is_the_same_as_fractions() -> None:
    fractions = fit(SIZES, ERRORS).to_json()
    assert fit(SIZES, [100 * error for error in ERRORS], percent=True).to_json() == fractions

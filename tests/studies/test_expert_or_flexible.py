"""`expert-or-flexible`: verdicts that can say both, contenders that see what they may, tables read or refused."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from tithe.errors import UsageError
from tithe.studies import contenders as who
from tithe.studies.contenders import fit
from tithe.studies.expert_or_flexible import judged
from tithe.studies.expert_tables import crossing, crossings, resampled
from tithe.studies.linear_models import lasso, least_squares
from tithe.studies.tabular import read

TABLES = Path(__file__).parents[2] / "../shared/data/tabular"
EXAMPLES = (50, 500, 1000, 2000)


def simulated(**given: tuple[float, ...]) -> dict:
    """Errors over EXAMPLES for 10 relevant features and three seeds; by default what the claims say."""
    curves = {
        "expert": (0.3, 0.12, 0.11, 0.1),
        "lasso": (1.0, 0.2, 0.08, 0.04),
        "least_squares": (1.0, 2.0, 500.0, 1.0),
        "dense_network": (1.0, 0.9, 0.6, 0.3),
        "sparse_network": (1.0, 0.9, 0.5, 0.1),
        "oracle": (0.2, 0.02, 0.01, 0.005),
    } | given
    flop = {"expert": 1.0, "lasso": 1e4, "dense_network": 1e5, "sparse_network": 1e4}
    dice = random.Random(0)

    def result(name: str, place: int) -> dict[str, float]:
        noise = [dice.uniform(0.99, 1.01) for _ in range(2)]
        return {"error": curves[name][place] * noise[0], "flop": flop.get(name, 1.0) * 10**place * noise[1]}

    def cell(place: int) -> list[dict[str, dict[str, float]]]:
        return [{name.replace("_", " "): result(name, place) for name in curves} for _ in range(3)]

    return {10: {n: cell(place) for place, n in enumerate(EXAMPLES)}}


def verdicts(**given: tuple[float, ...]) -> dict[str, str]:
    names = ("overtaken", "stalls", "peak", "cost", "sparse")
    return dict(zip(names, (claim.verdict for claim in judged(simulated(**given), 1000)), strict=True))


def test_made_up_numbers_that_agree_with_the_claims_hold():
    assert set(verdicts().values()) == {"holds"}


@pytest.mark.parametrize(
    ("claim", "given"),
    [
        ("overtaken", {"lasso": (0.2, 0.1, 0.08, 0.04)}),  # ahead from the start
        ("overtaken", {"lasso": (1.0, 0.5, 0.4, 0.3)}),  # never ahead
        ("stalls", {"expert": (0.3, 0.2, 0.1, 0.05)}),
        ("stalls", {"lasso": (1.0, 0.2, 0.08, 0.079)}),
        ("peak", {"least_squares": (1.0, 0.5, 0.3, 0.1)}),
        ("sparse", {"sparse_network": (1.0, 0.9, 0.8, 0.6)}),
    ],
)
def test_numbers_that_contradict_a_claim_do_not_hold(claim, given):
    found = verdicts(**given)
    assert found.pop(claim) == "does not hold"


def test_compute_that_is_not_spent_is_said():
    cheap = simulated()
    for seed in cheap[10][2000]:
        seed["lasso"]["flop"] /= 1e4
    assert judged(cheap, 1000)[3].verdict == "does not hold"


def test_a_crossing_lies_between_the_sizes():
    assert crossing({100: 1.0, 1000: 0.01}, {100: 0.1, 1000: 0.1}) == pytest.approx(100 * 10**0.5)
    assert crossing({100: 0.01, 1000: 0.01}, {100: 0.1, 1000: 0.1}) == 100
    assert crossing({100: 1.0, 1000: 0.2}, {100: 0.1, 1000: 0.1}) is None
    assert crossing({1: 0.01, 10: 1.0, 100: 0.01}, {1: 0.1, 10: 0.1, 100: 0.1}) > 10, "for good"


def test_the_table_of_crossings_leaves_never_empty():
    rows = {row["contender"]: row for row in crossings(simulated()).rows}
    assert 500 < rows["lasso"]["overtakes_expert_at"] < 1000
    assert rows["dense network"]["overtakes_expert_at"] is None
    assert "overtakes_expert_at" not in rows["oracle"]


def test_contenders_see_their_columns_and_nothing_else():
    dice = np.random.default_rng(0)
    x = dice.standard_normal((200, 20))
    y = x[:, :10] @ np.ones(10)
    found = {name: fit(name, x, y, range(10), 0, 50).weights for name in who.LINEAR}
    assert np.flatnonzero(found[who.ORACLE]).tolist() == list(range(10))
    assert np.flatnonzero(found[who.EXPERT]).tolist() == list(range(9))
    np.testing.assert_allclose(found[who.FLEXIBLE], [1] * 10 + [0] * 10, atol=1e-9)
    network = fit(who.EXPERT_NETWORK, x, y, range(10), 0, 50)
    other = x.copy()
    other[:, 9:] = 0
    np.testing.assert_array_equal(network.predict(x), network.predict(other))


def test_the_sparse_network_takes_a_tithe_of_the_compute():
    dice = np.random.default_rng(0)
    x, y = dice.standard_normal((100, 400)), dice.standard_normal(100)
    dense, sparse = (fit(name, x, y, (), 0, 100).flop for name in (who.DENSE, who.SPARSE))
    assert 0.03 < sparse / dense < 0.5  # scouting is dense, and the last layer


def test_least_squares_takes_the_smallest_of_many_solutions():
    dice = np.random.default_rng(0)
    x, y = dice.standard_normal((5, 20)), dice.standard_normal(5)
    found, _ = least_squares(x, y)
    np.testing.assert_allclose(found, np.linalg.pinv(x) @ y, atol=1e-9)


def test_lasso_is_that_of_scikit_learn():
    from sklearn.linear_model import Lasso

    dice = np.random.default_rng(0)
    x = dice.standard_normal((150, 30))
    y = x[:, 0] * 2 + dice.standard_normal(150) * 0.5
    found, flop = lasso(x, y, 0)
    assert found[0] == pytest.approx(2, abs=0.2)
    assert flop > 0
    penalties = np.geomspace(1, 0.02, 30) * np.abs(x.T @ y).max() / len(y)
    distances = [np.abs(Lasso(p, fit_intercept=False).fit(x, y).coef_ - found).max() for p in penalties]
    assert min(distances) < 0.01


def test_splits_that_share_rows_get_a_wider_interval():
    values = [0.1, 0.2, 0.3, 0.2]
    alone, shared = resampled(values, 10**9, 1, ""), resampled(values, 80, 20, "")
    assert shared.most - shared.least > 1.3 * (alone.most - alone.least)


@pytest.fixture
def table() -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(0)
    return dice.standard_normal((12, 4)), np.tile([3, 7], 6)


def test_a_table_is_read_from_every_format(tmp_path, table):
    x, y = table
    np.savez(tmp_path / "a.npz", X=x, y=y)
    savemat(tmp_path / "a.mat", {"X": x, "Y": y[:, None]})
    lines = [",".join(map(repr, [*map(float, row), int(label)])) for row, label in zip(x, y, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["a,b,c,d,label", *lines]))
    (tmp_path / "uci").mkdir()
    for part, rows in (("train", slice(8)), ("valid", slice(8, 12))):
        np.savetxt(tmp_path / "uci" / f"m_{part}.data", x[rows])
        np.savetxt(tmp_path / "uci" / f"m_{part}.labels", y[rows], fmt="%d")
    for name in ("a.npz", "a.mat", "a.csv", "uci"):
        found = read(tmp_path / name)
        np.testing.assert_allclose(found.x, x)
        assert found.y.tolist() == [-1, 1] * 6, name
        assert found.right == ()


def test_a_table_that_cannot_be_is_refused(tmp_path, table):
    x, y = table
    with pytest.raises(UsageError, match=r"does not exist.*scikit-feature"):
        read(tmp_path / "madelon.npz")
    for name, arrays, word in (
        ("a", {"X": x}, "cannot be read"),
        ("b", {"X": x, "y": y[:5]}, "one label a row"),
        ("c", {"X": x, "y": np.arange(12)}, "12 classes"),
        ("d", {"X": np.full_like(x, np.nan), "y": y}, "not finite"),
    ):
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(UsageError, match=word):
            read(tmp_path / f"{name}.npz")
    (tmp_path / "x.txt").touch()
    with pytest.raises(UsageError, match="no table that is known"):
        read(tmp_path / "x.txt")
    with pytest.raises(UsageError, match=r"no \*_train.data"):
        read(tmp_path)


@pytest.mark.skipif(not TABLES.exists(), reason="the tables are not beside the repository")
def test_madelons_useful_columns_are_found():
    found = read(TABLES / "madelon.npz")
    assert len(found.right) == 20
    assert found.right[:4] == (28, 48, 64, 105)
    assert read(TABLES / "ALLAML.npz").right == ()

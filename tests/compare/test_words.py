"""The answer in sentences: who is the cheapest for how many inferences, and what of that is noise."""

from __future__ import annotations

from typing import Any

import pytest

from tithe.compare import lines
from tithe.compare.lines import Line
from tithe.compare.result import _overtakes
from tithe.compare.words import _reigns


def content(**costs: tuple[list[float], list[float]]) -> dict[str, Any]:
    """A comparison of tactics with these costs of training and of one use, in seconds, a seed each."""
    tactics = {}
    for name, (training, use) in costs.items():
        runs = [{"training": {"seconds": t}, "inference": {"seconds": u}} for t, u in zip(training, use, strict=True)]
        means = {"training": sum(training) / len(training), "inference": sum(use) / len(use)}
        tactics[name] = {"runs": runs} | {part: {"seconds": {"value": mean}} for part, mean in means.items()}
    drawn = {n: Line(t["training"]["seconds"]["value"], t["inference"]["seconds"]["value"]) for n, t in tactics.items()}
    reigns = [{"name": r.name, "from": r.start, "to": r.end} for r in lines.cheapest(drawn)]
    overtakes = _overtakes(tactics, "seconds")
    return {"tactics": tactics, "cost": "seconds", "cheapest": {"seconds": reigns}, "overtakes": overtakes}


SPARSE = ([5.0, 5.1, 5.2], [1.0, 1.1, 1.2])


@pytest.mark.parametrize(
    ("dense", "said"),
    [
        (([9.0, 9.1, 9.2], [20.0, 21.0, 22.0]), "with sparse, whatever the number of inferences."),
        (([2.0, 2.1, 2.2], [20.0, 21.0, 22.0]), "with dense for few inferences and from 0.151 on with sparse."),
        # Training costs the same within noise, a use does not: sparse is the cheaper one, also for many.
        (
            ([1.0, 4.0, 9.0], [20.0, 21.0, 22.0]),
            "with sparse, whatever the number of inferences; for few, not told apart from dense.",
        ),
        # A use costs the same within noise: nobody is seen to overtake.
        (
            ([2.0, 2.1, 2.2], [1.0, 1.2, 1.4]),
            "with dense, whatever the number of inferences; for many, not told apart from sparse.",
        ),
        (([5.0, 5.2, 5.4], [1.1, 1.0, 1.2]), "with sparse or dense (not told apart), whatever the number of"),
    ],
)
def test_who_is_the_cheapest(dense: tuple[list[float], list[float]], said: str) -> None:
    (sentence,) = _reigns(content(dense=dense, sparse=SPARSE))
    assert sentence.removeprefix("Error aside, time is least ").startswith(said)

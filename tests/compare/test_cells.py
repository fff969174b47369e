"""The runs of a comparison: which recipe each is given."""

from pathlib import Path

import torch

from tithe.compare.asked import Asked
from tithe.compare.budget import Budget
from tithe.compare.cells import Comparison
from tithe.compare.plan import Plan
from tithe.compare.tactics import Tactic
from tithe.train.data import Dataset


def test_threads_of_the_plan_stay_when_it_goes_on_in_more_processes(tmp_path: Path):
    images, labels = torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)
    dataset = Dataset("noise", images, labels, images, labels, 10, None, "")

    def threads(options: dict[str, int]) -> int:
        plan = Plan("digits", None, "", options, (), {}, 1, Budget("epochs", 1))
        comparison = Comparison(Asked(tmp_path, resume=True, processes=2), plan, dataset)
        return comparison.run(Tactic("dense", None), 1, 0).recipe["threads"]

    assert threads({"threads": 7}) == 7
    assert threads({}) >= 1

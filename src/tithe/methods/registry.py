"""All methods by name: what tests, `tithe train --method` and comparisons read. Nothing heavy is imported here."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tithe.errors import UsageError

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from tithe.methods.base import Method

Start = Literal["sparse", "dense", "ordinary"]
"""What a method is given: a model sparsified at its density, one sparsified at density 1, or one left as it is."""

_OPTIONS = {"every": " (--rewire-every)"}  # hyper-parameters that the command line calls otherwise


@dataclass(frozen=True)
class Entry:
    """A method: where it is, what it is, what it needs."""

    name: str  # on the command line
    home: str  # module:class; the class is public as tithe.<class>
    line: str  # for help
    paper: str  # and section, where it could be looked up; the method's file has more
    family: str
    start: Start = "sparse"
    budget: str = "erk"  # how layers share the weights, unless told otherwise
    every: int | None = None  # steps between rewirings, unless told otherwise; None: an epoch or some

    @property
    def searches(self) -> bool:
        """Whether it trains many networks and keeps the best."""
        return self.family == SEARCH

    def load(self) -> type[Method]:
        """The class."""
        module, name = self.home.split(":")
        return getattr(importlib.import_module(module), name)

    def defaults(self) -> dict[str, Any]:
        """Hyper-parameters with their defaults; `inspect.Parameter.empty` where one must be given."""
        parameters = inspect.signature(self.load().__init__).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def make(
        self, model: nn.Module, optimizer: Optimizer, offered: Mapping[str, Any], given: Mapping[str, Any]
    ) -> Method:
        """The method on this model and optimizer.

        Args:
            model: as `start` says.
            optimizer: holds the model's parameters.
            offered: values for those of the hyper-parameters that the method has.
            given: values that somebody asked for.

        Raises:
            UsageError: `given` names a hyper-parameter that the method has not, or what the method itself refuses.
        """
        known = self.defaults()
        for name in given:
            if name not in known:
                raise UsageError(
                    f"method {self.name} has no {name.replace('_', ' ')}{_OPTIONS.get(name, '')}; it has "
                    f"{', '.join(sorted(n.replace('_', ' ') for n in known)) or 'nothing to set'}"
                )
        chosen = {name: value for name, value in offered.items() if name in known} | dict(given)
        return self.load()(model, optimizer, **chosen)


FROM_SCRATCH = "sparse from scratch"
DENSE_TO_SPARSE = "dense to sparse"
PENALTY = "penalty"
SEARCH = "search"
DENSE = "dense"

_ENTRIES = (
    Entry(
        "sparse-momentum",
        "tithe.methods.sparse_momentum:SparseMomentum",
        "drops the smallest weights, grows where the momentum is largest, moves weights between layers",
        "Dettmers & Zettlemoyer 2019, arXiv 1907.04840",
        FROM_SCRATCH,
    ),
    Entry(
        "rigl",
        "tithe.methods.rigl:RigL",
        "drops the smallest weights, grows where the gradient of one step is largest",
        "Evci et al. 2020, arXiv 1911.11134, section 3",
        FROM_SCRATCH,
        every=100,
    ),
    Entry(
        "set",
        "tithe.methods.set:SET",
        "drops the smallest weights, grows at random",
        "Mocanu et al. 2018, arXiv 1707.04780",
        FROM_SCRATCH,
    ),
    Entry(
        "dsr",
        "tithe.methods.dsr:DSR",
        "drops below one threshold for all layers, grows at random, most where most is left",
        "Mostafa & Wang 2019, arXiv 1902.05967",
        FROM_SCRATCH,
    ),
    Entry(
        "deepr",
        "tithe.methods.deepr:DeepR",
        "drops weights that would change their sign, grows at random, a little in every step",
        "Bellec et al. 2018, arXiv 1711.05136",
        FROM_SCRATCH,
        every=1,
    ),
    Entry(
        "static",
        "tithe.methods.static:Static",
        "a random topology that stays",
        'Evci et al. 2020, arXiv 1911.11134, section 4, "Static"',
        FROM_SCRATCH,
    ),
    Entry(
        "snip",
        "tithe.methods.snip:SNIP",
        "prunes before the first step by |gradient x weight| on one batch",
        "Lee et al. 2019, arXiv 1810.02340",
        FROM_SCRATCH,
        start="dense",
        budget="global",
    ),
    Entry(
        "grasp",
        "tithe.methods.grasp:GraSP",
        "prunes before the first step, so that the gradient's flow stays",
        "Wang et al. 2020, arXiv 2002.07376",
        FROM_SCRATCH,
        start="dense",
        budget="global",
    ),
    Entry(
        "top-kast",
        "tithe.methods.top_kast:TopKAST",
        "computes with the largest weights, learns as many more, chooses anew by size",
        "Jayakumar et al. 2020, arXiv 2106.03517",
        FROM_SCRATCH,
        start="dense",
        budget="uniform",
        every=100,
    ),
    Entry(
        "gradual-magnitude",
        "tithe.methods.gradual_magnitude:GradualMagnitude",
        "dense at first; the smallest weights go over the first half of training",
        "Zhu & Gupta 2017, arXiv 1710.01878",
        DENSE_TO_SPARSE,
        start="dense",
        budget="uniform",
        every=100,
    ),
    Entry(
        "granet",
        "tithe.methods.granet:GraNet",
        "dense at first; gradual pruning that regrows some by gradient",
        "Liu et al. 2021, arXiv 2106.10404",
        DENSE_TO_SPARSE,
        start="dense",
        budget="global",
    ),
    Entry(
        "one-shot",
        "tithe.methods.one_shot:OneShot",
        "trains dense, prunes the smallest weights half way, fine-tunes",
        "Han et al. 2015, arXiv 1506.02626, section 3",
        DENSE_TO_SPARSE,
        start="dense",
        budget="global",
    ),
    Entry(
        "lottery-ticket",
        "tithe.methods.lottery_ticket:LotteryTicket",
        "trains dense, prunes, goes back to the beginning, trains what is left",
        "Frankle & Carbin 2019, arXiv 1803.03635, sections 1 and 2; rewinding: arXiv 1903.01611",
        DENSE_TO_SPARSE,
        start="dense",
        budget="global",
    ),
    Entry(
        "l1",
        "tithe.methods.l1:L1",
        "trains dense with a penalty on |weight|, prunes half way, fine-tunes",
        "Han et al. 2015, arXiv 1506.02626, section 3.1",
        PENALTY,
        start="dense",
        budget="global",
    ),
    Entry(
        "group-lasso",
        "tithe.methods.group_lasso:GroupLasso",
        "trains dense with a penalty on channels and removes those that are zero; fine-tunes",
        "Wen et al. 2016, arXiv 1608.03665, and Lym et al. 2019, arXiv 1901.09290",
        PENALTY,
        start="ordinary",
        budget="channels",
    ),
    Entry(
        "small-dense",
        "tithe.methods.small_dense:SmallDense",
        "the same network with fewer channels, dense",
        "Evci et al. 2020, arXiv 1911.11134, section 4.1",
        DENSE,
        start="ordinary",
        budget="channels",
    ),
    Entry(
        "search",
        "tithe.methods.small_dense:SmallDense",  # what comes of it is a small dense network
        "the same number of weights, dense: depth and widths by Optuna, every trial in the bill",
        "Akiba et al. 2019, arXiv 1907.10902, sections 2 and 3",
        SEARCH,
        start="ordinary",
        budget="channels",
    ),
    Entry(
        "dense",
        "tithe.methods.dense:Dense",
        "all weights; density is not asked",
        "none: what the others are compared with",
        DENSE,
        start="ordinary",
        budget="channels",
    ),
)

METHODS = {entry.name: entry for entry in _ENTRIES}


def find(name: str) -> Entry:
    """The method of that name.

    Raises:
        UsageError: there is none; the message has the nearest.
    """
    if name in METHODS:
        return METHODS[name]
    near = difflib.get_close_matches(name.lower().replace("_", "-"), METHODS, n=1)
    advice = f"; did you mean {near[0]}?" if near else "."
    raise UsageError(f"method {name!r} is not known: choose one of {', '.join(METHODS)}{advice}")


def lines() -> str:
    """A line for each method, for help."""
    width = max(map(len, METHODS))
    return "\n".join(f"  {entry.name:<{width}}  {entry.line}" for entry in METHODS.values())

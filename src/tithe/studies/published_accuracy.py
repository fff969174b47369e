"""What was published of sparse training at which density: test accuracies in percent.

Dettmers & Zettlemoyer 2019 (arXiv 1907.04840) and the tables of their public repository (TimDettmers/sparse_learning),
which has the other methods' figures from Mostafa & Wang 2019 (arXiv 1902.05967), and SNIP's from Lee et al. 2019 (arXiv
1810.02340).
"""

from __future__ import annotations

from collections.abc import Mapping

SOURCE = "Dettmers & Zettlemoyer 2019, arXiv 1907.04840, section 4, and the tables of their repository"
DENSE = 1.0  # the density at which a method without a density stands

Table = Mapping[str, Mapping[float, float]]  # method -> density -> percent

_LENET_300_100: Table = {
    "dense": {DENSE: 98.69},
    "sparse-momentum": {0.01: 97.53, 0.02: 98.20, 0.03: 98.30, 0.04: 98.42, 0.05: 98.53, 0.1: 98.67},
    "dsr": {0.01: 97.54, 0.05: 98.32, 0.1: 98.44},
    "set": {0.01: 95.8, 0.05: 98.14, 0.1: 98.39},
    "deepr": {0.01: 94.0, 0.05: 98.06, 0.1: 98.19},
}
_LENET_5: Table = {  # published as errors
    "sparse-momentum": {
        density: 100 - error
        for density, error in (
            *((0.004, 1.403), (0.009, 0.894), (0.01, 0.83), (0.02, 0.76)),
            *((0.05, 0.69), (0.08, 0.645), (0.093, 0.642)),
        )
    },
    "snip": {0.01: 98.9, 0.02: 99.2},
}
_WRN_28_2: Table = {
    "dense": {DENSE: 94.70},
    "sparse-momentum": {0.1: 93.61, 0.2: 94.32, 0.3: 94.58, 0.4: 94.68, 0.5: 94.75},
    "set": {0.1: 93.28, 0.2: 94.25, 0.3: 94.40, 0.4: 94.55, 0.5: 94.76},
    "dsr": {0.1: 93.59, 0.2: 94.40, 0.3: 94.57, 0.4: 94.66, 0.5: 94.73},
}
_TABLES = {
    ("mnist", "lenet-300-100"): _LENET_300_100,
    ("mnist", "lenet-5"): _LENET_5,
    ("cifar10", "wrn-28-2"): _WRN_28_2,
}


def published(data: str, model: str) -> Table:
    """Percent by method and density; empty where nothing was published."""
    return _TABLES.get((data, model), {})

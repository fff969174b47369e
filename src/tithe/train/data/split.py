"""A fixed split into training and test examples, the same on every machine and for ever."""

import numpy as np

_SEED = 0


def stratified_split(labels: np.ndarray, test_share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Sorted indices of the training and of the test examples; a share of each class goes to the latter.

    A class of two examples or more has at least one in either set; a class of one has it in training.
    """
    # RandomState, not default_rng: its stream is frozen (numpy NEP 19), so the split never changes.
    random = np.random.RandomState(_SEED)
    test = []
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        count = 0 if len(members) == 1 else max(1, round(test_share * len(members)))
        test.append(members[:count])
    in_test = np.zeros(len(labels), bool)
    in_test[np.concatenate(test)] = True
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)

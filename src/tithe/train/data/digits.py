"""scikit-learn's handwritten digits: 1797 real images of 8 x 8, inside the library, nothing to download.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI repository, 1998 (its test
half).
"""

import numpy as np

from tithe.train.data.dataset import Dataset, make
from tithe.train.data.split import stratified_split


def load_digits() -> Dataset:
    """The digits as float32 [n, 1, 8, 8] in 0..1 (the stored 0..16 over 16), split 80/20 per class."""
    from sklearn import datasets  # here because it takes a second to import and only this data set needs it

    pixels, labels = datasets.load_digits(return_X_y=True)
    images = (np.asarray(pixels) / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    labels = np.asarray(labels)
    train, test = stratified_split(labels)
    return make(
        "digits",
        "digits",
        (images[train], labels[train]),
        (images[test], labels[test]),
        classes=10,
        class_names=tuple("0123456789"),
    )

"""The official files: where they live, how long they are and what they hash to.

Every address of a file serves the same bytes, and the hash decides; an address without TLS is therefore safe,
and stands last. The sha256 of the MNIST and Fashion-MNIST files were computed from files whose md5 are those
their authors publish. Those of CIFAR-10 belong to the files whose md5 stand on
https://www.cs.toronto.edu/~kriz/cifar.html (python c58f30108f718f92721af3b95e74349a, binary
c32a1d4ab5d03f1284b67883e8d87530).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class OfficialFile:
    """One file as its authors publish it."""

    name: str
    urls: tuple[str, ...]  # tried in order
    size: int  # bytes
    sha256: str


@dataclass(frozen=True)
class OfficialSet:
    """A data set: what to fetch, and where a person would fetch it."""

    name: str
    home: str  # the address to name in an error
    files: tuple[OfficialFile, ...]
    class_names: tuple[str, ...]
    first_labels: tuple[int, ...] = ()  # the first ten for training; tells apart two sets whose files have one name


_IDX_NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_MNIST_HOMES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_FASHION_HOMES = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
_CIFAR_HOME = "https://www.cs.toronto.edu/~kriz/"


def _idx_files(homes: tuple[str, ...], sizes_and_hashes: tuple[tuple[int, str], ...]) -> tuple[OfficialFile, ...]:
    return tuple(
        OfficialFile(name, tuple(home + name for home in homes), size, sha256)
        for name, (size, sha256) in zip(_IDX_NAMES, sizes_and_hashes, strict=True)
    )


MNIST = OfficialSet(
    name="mnist",
    home=_MNIST_HOMES[0],
    files=_idx_files(
        _MNIST_HOMES,
        (
            (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
    ),
    class_names=tuple("0123456789"),
    first_labels=(5, 0, 4, 1, 9, 2, 1, 3, 1, 4),
)

FASHION_MNIST = OfficialSet(
    name="fashion-mnist",
    home=_FASHION_HOMES[0],
    files=_idx_files(
        _FASHION_HOMES,
        (
            (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
    ),
    class_names=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    first_labels=(9, 0, 0, 3, 0, 2, 7, 2, 5, 5),
)

CIFAR10_BINARY = OfficialFile(
    name="cifar-10-binary.tar.gz",
    urls=(_CIFAR_HOME + "cifar-10-binary.tar.gz",),
    size=170_052_171,
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
CIFAR10_PYTHON = OfficialFile(
    name="cifar-10-python.tar.gz",
    urls=(_CIFAR_HOME + "cifar-10-python.tar.gz",),
    size=170_498_071,
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
)
# The binary archive is the one to fetch: the same images and labels, and no pickles.
CIFAR10 = OfficialSet(
    name="cifar10",
    home=_CIFAR_HOME,
    files=(CIFAR10_BINARY,),
    class_names=(
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
)

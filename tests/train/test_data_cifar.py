"""CIFAR-10 in its four published forms, shrunk to four images a file, and the pickles that are refused."""

import dataclasses
import hashlib
import io
import os
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tithe.errors import UsageError
from tithe.train.data import cifar, load
from tithe.train.data.cifar_pickle import read_batch

RECORDS = 4
IMAGES = np.random.default_rng(0).integers(0, 256, (6, RECORDS, 3072), dtype=np.uint8)
LABELS = np.random.default_rng(1).integers(0, 10, (6, RECORDS), dtype=np.uint8)
STEMS = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]


def binary(index: int) -> bytes:
    return np.concatenate([LABELS[index][:, None], IMAGES[index]], 1).tobytes()


def python2(index: int) -> bytes:
    """The opcodes that Python 2 and the numpy of 2009 wrote, one by one."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R"
        b"(K\x01" + b"K\x04M\x00\x0c\x86"  # version, shape (4, 3072)
        b"cnumpy\ndtype\nU\x02u1K\0K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
        b"\x89T" + struct.pack("<i", IMAGES[index].size) + IMAGES[index].tobytes() + b"tb"
    )
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in LABELS[index]) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + labels + b"u."


def python3(index: int) -> bytes:
    return pickle.dumps({"data": IMAGES[index], "labels": LABELS[index].tolist()}, protocol=4)


def batches(form: str) -> dict[str, bytes]:
    """Path and content of the six files of a form."""
    write, folder, suffix = {
        "binary": (binary, "cifar-10-batches-bin", ".bin"),
        "python": (python2, "cifar-10-batches-py", ""),
        "python3": (python3, "cifar-10-batches-py", ""),
    }[form]
    return {f"{folder}/{stem}{suffix}": write(index) for index, stem in enumerate(STEMS)}


def unpack(form: str, folder: Path) -> Path:
    for name, content in batches(form).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def tar(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "RECORDS", RECORDS)


@pytest.fixture
def trust(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Declares an archive made here to be the official one of its name."""

    def declare(path: Path) -> None:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        forms = [
            dataclasses.replace(form, archive=dataclasses.replace(form.archive, size=len(content), sha256=digest))
            if form.archive.name == path.name
            else form
            for form in cifar.FORMS
        ]
        monkeypatch.setattr(cifar, "FORMS", forms)

    return declare


def check(folder: Path) -> None:
    data = load("cifar10", folder)
    assert data.x_train.shape == (5 * RECORDS, 3, 32, 32)
    assert data.x_test.shape == (RECORDS, 3, 32, 32)
    np.testing.assert_array_equal(data.x_train.numpy().reshape(-1, 3072), IMAGES[:5].reshape(-1, 3072))
    np.testing.assert_array_equal(data.x_test.numpy().reshape(-1, 3072), IMAGES[5])
    np.testing.assert_array_equal(data.y_train, LABELS[:5].reshape(-1))
    np.testing.assert_array_equal(data.y_test, LABELS[5])
    assert data.class_names is not None
    assert data.class_names[0] == "airplane"


@pytest.mark.parametrize("form", ["binary", "python", "python3"])
def test_every_form_is_read_from_everywhere(tmp_path: Path, form: str):
    inner = unpack(form, tmp_path / "data")
    check(inner)  # DATA_DIR/cifar-10-batches-...
    check(next(inner.iterdir()))  # the folder of batches itself
    inner.rename(tmp_path / "cifar10")
    check(tmp_path)  # DATA_DIR/cifar10/cifar-10-batches-...


@pytest.mark.parametrize("form", ["binary", "python"])
def test_the_archive_is_read_without_unpacking(tmp_path: Path, form: str, trust: Callable[[Path], None]):
    path = tmp_path / f"cifar-10-{form}.tar.gz"
    members = {"cifar-10-batches-bin/readme.html": b"hello", "../evil": b"evil", "/data_batch_1": b"evil"}
    path.write_bytes(tar(members | batches(form)))
    trust(path)
    check(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_an_unofficial_archive_is_refused(tmp_path: Path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(tar(batches("python")))
    with pytest.raises(UsageError, match=r"python\.tar\.gz has \d+ bytes but the official file 170498071; delete it"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda whole: whole[: len(whole) // 2], r"binary\.tar\.gz is cut short or damaged"),
        (lambda whole: b"no archive", r"binary\.tar\.gz is cut short or damaged"),
        (lambda whole: b"", r"binary\.tar\.gz is empty"),
        (lambda whole: tar({"cifar-10-batches-bin/test_batch.bin": binary(5)}), "has no data_batch_1.bin, data_b"),
        (
            lambda whole: tar(batches("binary") | {"cifar-10-batches-bin/test_batch.bin": bytes(10**6)}),
            "has no test_batch.bin",
        ),
        (
            lambda whole: tar(batches("binary") | {"cifar-10-batches-bin/test_batch.bin": bytes(3073)}),
            r"test_batch\.bin has 3073 bytes where a CIFAR-10 batch has 12292",
        ),
    ],
)
def test_a_damaged_archive_is_refused(tmp_path: Path, damage, says: str, trust: Callable[[Path], None]):
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(damage(tar(batches("binary"))))
    trust(path)
    with pytest.raises(UsageError, match=says):
        load("cifar10", tmp_path)


def test_a_symlink_in_an_archive_is_not_followed(tmp_path: Path, trust: Callable[[Path], None]):
    path = tmp_path / "cifar-10-binary.tar.gz"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in batches("binary"):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
    path.write_bytes(out.getvalue())
    trust(path)
    with pytest.raises(UsageError, match=r"has no data_batch_1\.bin"):
        load("cifar10", tmp_path)


def test_missing_and_empty_batches_are_named(tmp_path: Path):
    folder = unpack("binary", tmp_path) / "cifar-10-batches-bin"
    (folder / "data_batch_3.bin").write_bytes(b"")
    with pytest.raises(UsageError, match=r"data_batch_3\.bin is empty"):
        load("cifar10", tmp_path)
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(UsageError, match=r"data_batch_3\.bin cannot be read: No such file"):
        load("cifar10", tmp_path)


def test_nothing_there_is_a_sentence(tmp_path: Path):
    with pytest.raises(
        UsageError, match=r"add --download to fetch it, or put cifar-10-binary\.tar\.gz from https://www\.cs\.toronto"
    ):
        load("cifar10", tmp_path)


def test_a_label_out_of_range_names_the_file(tmp_path: Path):
    path = unpack("binary", tmp_path) / "cifar-10-batches-bin" / "test_batch.bin"
    path.write_bytes(b"\x0a" + path.read_bytes()[1:])
    with pytest.raises(UsageError, match=r"test_batch\.bin\[0\] is 10 where labels must be 0 to 9"):
        load("cifar10", tmp_path)


class Trap:
    """Runs a command where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_calls_a_function_is_refused(tmp_path: Path, protocol: int):
    with pytest.raises(UsageError, match=r"batch is a pickle that asks for \w+\.mkdir, which is not loaded"):
        read_batch(pickle.dumps({"data": Trap(tmp_path / "sprung")}, protocol), "batch")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["numpy.load", "numpy.fromfile", "builtins.eval", "builtins.getattr", "os.system"])
def test_no_name_but_those_of_arrays_resolves(name: str):
    module, function = name.rsplit(".", 1)
    with pytest.raises(UsageError, match=f"asks for {name}"):
        read_batch(f"c{module}\n{function}\n(tR.".encode(), "batch")


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        (b"", r"cut short, damaged or not a CIFAR batch"),
        (b"not a pickle", r"cut short, damaged or not a CIFAR batch"),
        (pickle.dumps([1, 2]), r"not a CIFAR batch \(.*no attribute 'items'"),
        (pickle.dumps({"labels": []}), r"not a CIFAR batch \('data'\)"),
        (pickle.dumps({"data": IMAGES[0]}, 4), r"not a CIFAR batch \('labels'\)"),
        (pickle.dumps({"data": IMAGES[0] * 1.0, "labels": []}, 4), r"data of type 'f8' where u1 is allowed"),
        (pickle.dumps({"data": IMAGES[0], "labels": [None]}, 4), r"labels that are not a list of integers"),
        (pickle.dumps({"data": IMAGES[0], "labels": ["a"]}, 4), r"labels that are not a list of integers"),
        (b"P0\n.", r"the opcode PERSID has no place in it"),
        (pickle.dumps({"data": bytearray(b"x")}, 5), r"the opcode BYTEARRAY8 has no place in it"),
        (b"]r\xff\xff\xff\x7f.", r"there is no memo slot 2147483647"),
        (b"(" * 10 + b"\x80", r"cut short, damaged or not a CIFAR batch"),
    ],
)
def test_a_wrong_pickle_is_a_sentence(batch: bytes, says: str):
    with pytest.raises(UsageError, match=says):
        read_batch(batch, "batch")


def test_an_array_in_fortran_order_is_read_as_it_was_meant():
    batch = pickle.dumps({"data": np.asfortranarray(IMAGES[0]), "labels": [0] * RECORDS}, 4)
    np.testing.assert_array_equal(read_batch(batch, "batch")[0], IMAGES[0])


def test_every_shorter_pickle_is_refused():
    whole = python2(0)
    for length in (*range(0, 200), *range(len(whole) - 200, len(whole))):
        with pytest.raises(UsageError, match="batch is cut short"):
            read_batch(whole[:length], "batch")


def test_a_batch_of_another_shape_is_refused(tmp_path: Path):
    path = unpack("python3", tmp_path) / "cifar-10-batches-py" / "data_batch_2"
    path.write_bytes(pickle.dumps({"data": IMAGES[0][:, :-1].copy(), "labels": [0] * RECORDS}, 4))
    with pytest.raises(UsageError, match=r"data_batch_2 holds images of shape \[4, 3071\] and 4 labels where"):
        load("cifar10", tmp_path)

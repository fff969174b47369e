"""Official files on this machine: where they are looked for, whether they are genuine, how to get them."""

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tithe.errors import UsageError
from tithe.train.data.download import DownloadError, Progress, fetch
from tithe.train.data.sources import OfficialFile, OfficialSet


def default_data_dir() -> Path:
    """The folder for data sets: `TITHE_DATA`, else `tithe` in the platform's folder for caches."""
    if given := os.environ.get("TITHE_DATA"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "tithe" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "tithe"
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # XDG base directory specification: a relative path is invalid and is to be ignored.
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "tithe"


def search_folders(source: OfficialSet, data_dir: Path) -> tuple[Path, Path]:
    """Where the set's files may be; the first is also where a download goes.

    Raises:
        UsageError: `data_dir` exists and is not a folder.
    """
    if data_dir.exists() and not data_dir.is_dir():
        raise UsageError(f"the data folder {data_dir} is a file; give a folder with --data-dir")
    return data_dir / source.name, data_dir


def obtain(
    source: OfficialSet,
    absent: Sequence[OfficialFile],
    folder: Path,
    download: bool,
    progress: Progress | None,
) -> None:
    """Downloads the absent files into `folder` where `download` allows it.

    Raises:
        UsageError: not allowed or not possible; it says which files to put where and where they come from.
    """
    listed = ", ".join(file.name for file in absent)
    by_hand = f"put {listed} from {source.home} into {folder}"
    if not download:
        raise UsageError(f"{source.name} is not in {folder}; add --download to fetch it, or {by_hand}")
    for file in absent:
        try:
            fetch(file, folder, progress)
        except DownloadError as error:
            raise UsageError(
                f"{source.name} could not be downloaded: {error}; run the command again, or {by_hand}"
            ) from error


def verify(path: Path, file: OfficialFile) -> None:
    """Checks that `path` is the official file, by size and sha256.

    Raises:
        UsageError: it is not, or cannot be read.
    """
    mend = "delete it and add --download, or put the official file there"
    size = size_of(path)
    if size != file.size:
        raise UsageError(f"{path} has {size} bytes but the official file {file.size}; {mend}")
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != file.sha256:
        raise UsageError(f"{path} has the wrong checksum, sha256 {found}, officially {file.sha256}; {mend}")


def size_of(path: Path) -> int:
    """The size of a readable, non-empty file in bytes.

    Raises:
        UsageError: it is missing, unreadable or empty.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; give a file that can be read") from error
    if size == 0:
        raise UsageError(f"{path} is empty; copy or download it again")
    return size

"""Files that are to be written: what is wrong with their names is said before anything is computed."""

from pathlib import Path

from tithe.errors import UsageError


def check_file(path: Path, option: str = "") -> None:
    """Say why no file can be written there; `option` is what was given it by.

    Raises:
        UsageError: it is a folder, or there is no folder for it.
    """
    if path.is_dir():
        raise UsageError(f"{option} {path} is a folder; give the name of a file.".lstrip())
    if not path.absolute().parent.is_dir():
        raise UsageError(f"cannot write {path}: {path.absolute().parent} is no folder; make it, or give another name.")

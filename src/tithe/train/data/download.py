"""Fetching one official file: resumed where it broke, checked by size and sha256, then named all at once.

The bytes go to FILE.part, which outlives a broken download; a later run asks for the rest with an HTTP range
request (RFC 9110, section 14). Only a complete file with the right checksum gets its name.
"""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import requests
from urllib3.exceptions import HTTPError, ProtocolError

from tithe.errors import UsageError
from tithe.train.data.sources import OfficialFile

Progress = Callable[[str, int, int], None]  # file name, bytes done, bytes in all

TIMEOUT = (10.0, 30.0)  # seconds: to connect, and between two pieces of data
PATIENCE = 4  # tries in a row that bring nothing new, before giving up
PAUSE = 1.0  # seconds before the second try; doubled before each further one
_MOST_TRIES = 50  # a server that hangs up after every few bytes is given up in the end
_CHUNK = 1 << 18  # bytes
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}  # refusals that may end by themselves


class DownloadError(Exception):
    """The file could not be fetched; the message is a clause that says from where and why."""


class _RefusedError(DownloadError):
    """The address will not serve the file however often it is asked."""


def fetch(file: OfficialFile, folder: Path, progress: Progress | None = None) -> Path:
    """Downloads `file` into `folder`, made if need be, and returns its path.

    Raises:
        DownloadError: no address delivered the file; what arrived so far stays as FILE.part.
        UsageError: the folder cannot be written to, or the disk is full.
    """
    final = folder / file.name
    part = folder / (file.name + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _complete(file, part, progress or (lambda name, done, total: None))
        part.replace(final)
        _sync_folder(folder)
    except OSError as error:  # what goes wrong with the connection is a DownloadError by now
        raise UsageError(
            f"{final} cannot be written: {error.strerror or error}; give another folder with --data-dir"
        ) from error
    return final


def _complete(file: OfficialFile, part: Path, progress: Progress) -> None:
    """Tries the addresses in turn until `part` holds the whole, verified file."""
    if _size(part) >= file.size and _accept(file, part):
        return
    addresses, idle, problem = list(file.urls), 0, None
    for attempt in range(_MOST_TRIES):
        if idle == PATIENCE or not addresses:
            break
        if idle:
            time.sleep(PAUSE * 2 ** (idle - 1))
        url, before = addresses[attempt % len(addresses)], _size(part)
        try:
            _receive(url, file, part, progress)
            if _accept(file, part):
                return
            if before:  # the fault may be in the older half: once more from the beginning
                raise requests.ConnectionError("the resumed file has a wrong checksum")
            raise _RefusedError(
                f"what {url} sends has a wrong checksum (it should be sha256 {file.sha256}) and was deleted"
            )
        except _RefusedError as error:
            addresses.remove(url)
            problem = error
        except (requests.RequestException, HTTPError) as error:
            problem = DownloadError(f"{url} failed ({_reason(error)})")
            idle = 0 if _size(part) > before else idle + 1
    raise problem or DownloadError(f"{file.name} has no address")


def _receive(url: str, file: OfficialFile, part: Path, progress: Progress) -> None:
    """One request: appends to `part`, or begins it anew where the server cannot send just the rest."""
    have = _size(part)
    # Identity: the checksum is that of the .gz itself, which a server may otherwise have the client unpack.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        start = _start(url, response, file, have)
        if start is None:
            part.unlink(missing_ok=True)
            raise requests.ConnectionError("the server and the half-finished file disagree, beginning anew")
        with part.open("r+b" if start else "wb") as out:
            out.seek(start)
            # What broke is said below, in bytes of the file.
            with contextlib.suppress(ProtocolError):
                _copy(response, out, file, start, progress)
    if _size(part) < file.size:
        raise requests.ConnectionError(f"the connection broke after {_size(part)} of {file.size} bytes")


def _start(url: str, response: requests.Response, file: OfficialFile, have: int) -> int | None:
    """The offset at which the response's bytes belong, or None if `part` is no use to this server.

    Raised before a byte is written, so that a login page in the file's place does not overwrite a good half.
    """
    status = response.status_code
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
        return None
    if status in _PASSING or status >= 500:
        raise requests.HTTPError(f"HTTP status {status}")
    if status == HTTPStatus.PARTIAL_CONTENT:
        found = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        matches = found and int(found[1]) == have and found[2] in (str(file.size), "*")
        return have if matches else None
    if status != HTTPStatus.OK:
        raise _RefusedError(f"{url} answers with HTTP status {status}")
    announced = response.headers.get("Content-Length", str(file.size))
    if announced != str(file.size):
        raise _RefusedError(f"{url} offers {announced} bytes where the official file has {file.size}")
    return 0  # the whole file, whether or not it was asked for


def _copy(response: requests.Response, out: BinaryIO, file: OfficialFile, start: int, progress: Progress) -> None:
    done = start
    progress(file.name, done, file.size)
    for chunk in response.raw.stream(_CHUNK, decode_content=False):
        out.write(chunk)
        done += len(chunk)
        progress(file.name, min(done, file.size), file.size)
        if done > file.size:  # not the file, and perhaps without end
            return
    out.flush()
    os.fsync(out.fileno())


def _accept(file: OfficialFile, part: Path) -> bool:
    """Whether `part` is the official file; if not it is deleted, since nothing can be built on it."""
    with part.open("rb") as stream:
        right = _size(part) == file.size and hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    if not right:
        part.unlink()
    return right


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    """The innermost cause in plain words: requests wraps urllib3, which wraps the system's own error."""
    cause: BaseException = error
    while (deeper := cause.__cause__ or cause.__context__) is not None:
        cause = deeper
    return getattr(cause, "strerror", None) or " ".join(str(cause).split()) or type(cause).__name__


def _sync_folder(folder: Path) -> None:
    """Makes the renaming itself survive a power cut, where folders can be opened (not on Windows)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

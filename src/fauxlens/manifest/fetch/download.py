"""One file over HTTP: streamed, resumed, retried a bounded number of times, checked whole, then renamed.

The bytes lie in `<target>.part` until they have proved right, with a note beside them (`<target>.part.json`) of which
version of the remote file they belong to. Nothing unproved ever carries the final name, and a file that already
carries it is believed only after the same proof.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import errno
import hashlib
import html
import http.client
import json
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from fauxlens.core.errors import BadSetting, FetchError
from fauxlens.core.files import sync_folder, write_json
from fauxlens.core.progress import Progress, silent

TIMEOUT_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 300.0  # also for a server that asks for more in Retry-After

_CHUNK = 1 << 20
_SCHEMES = ("http", "https")
_DISK_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}
_REFUSALS = {
    401: ("the server wants a login (401)", "get access from the owner of the data; this tool sends no credentials"),
    403: ("the server refuses to give it (403)", "the file may be restricted; ask the owner of the data for access"),
    404: ("there is no such file on the server (404)", "check the name; the owner may have moved or withdrawn it"),
    410: ("the file was withdrawn from the server (410)", "ask the owner of the data where it is now"),
}

Pause = Callable[[float], None]
Verify = Callable[[Path], str | None]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Remote:
    """A file somewhere else, and what its owner publishes about it. `name` is untrusted: see `places.inside`."""

    url: str
    name: str
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None
    sha1: str | None = None
    sha512: str | None = None

    def __post_init__(self) -> None:
        if urllib.parse.urlsplit(self.url).scheme.lower() not in _SCHEMES:
            raise FetchError(
                "only http and https addresses are fetched",
                where=self.name,
                got=repr(self.url),
                hint="check the address",
            )
        if self.size is not None and self.size < 0:
            raise FetchError("a file cannot have a negative size", where=self.name, got=self.size)
        for algorithm, value in self.digests.items():
            length = hashlib.new(algorithm, usedforsecurity=False).digest_size * 2
            if not re.fullmatch(rf"[0-9a-fA-F]{{{length}}}", value):
                raise FetchError(
                    f"this is no {algorithm}", where=self.name, wanted=f"{length} hex digits", got=repr(value)
                )

    @property
    def digests(self) -> dict[str, str]:
        """The published digests, by algorithm."""
        known = {"md5": self.md5, "sha1": self.sha1, "sha256": self.sha256, "sha512": self.sha512}
        return {algorithm: value for algorithm, value in known.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Fetched:
    """How one file came. `bytes` is its size, `received` what went over the network for it in this call."""

    status: Literal["done", "already there"]
    bytes: int
    attempts: int
    received: int


def fetch_file(
    remote: Remote,
    target: Path,
    *,
    attempts: int = 5,
    timeout_seconds: float = TIMEOUT_SECONDS,
    progress: Progress = silent,
    pause: Pause = time.sleep,
    verify: Verify | None = None,
) -> Fetched:
    """Bring `remote` to `target`, or raise FetchError with nothing unproved under that name.

    Cut connections, time-outs, 429 and 5xx are tried again, `attempts` times in all, with growing pauses; the bytes
    that came are kept and resumed, also by a later call. Content of the wrong size or digest is thrown away and
    fetched again once. `verify` is one more proof for files whose digest is not over their bytes: it gets the whole
    file's path and says what is wrong, or None. A file already at `target` is kept when it passes the same proof
    (with no size, digest or `verify` known: when its size is the server's), else replaced after the new one passed.
    """
    if attempts < 1:
        raise BadSetting("a download needs at least one attempt", wanted="attempts >= 1", got=attempts)
    target = Path(target)
    if _is_right(remote, target, timeout_seconds, verify):
        size = target.stat().st_size
        progress(size, size, remote.name)
        return Fetched("already there", size, 0, 0)
    with _disk(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(target, remote, has_proof=bool(remote.digests) or verify is not None)

    def once() -> int:
        whole_bytes = _receive(remote, part, timeout_seconds, progress)
        # Counted on the disk again: another process may have meddled with the part.
        if part.bytes_on_disk() != whole_bytes:
            raise _Again("the part beside the target changed while it was written; is it being fetched twice?")
        wrong = _what_is_wrong(remote, part.path, verify)
        if wrong is not None:
            part.discard()
            raise wrong
        return part.finish()

    size, used = _patiently(once, where=remote.name, attempts=attempts, pause=pause)
    return Fetched("done", size, used, part.received)


def read_answer(
    url: str,
    *,
    what: str,
    limit_bytes: int = 64 << 20,
    attempts: int = 5,
    timeout_seconds: float = TIMEOUT_SECONDS,
    pause: Pause = time.sleep,
) -> bytes:
    """The body of a small answer, such as a record's description, held in memory; retried like a file."""
    remote = Remote(url, what)

    def once() -> bytes:
        with _asked(remote, {}, timeout_seconds) as response, _network(remote):
            body: bytes = response.read(limit_bytes + 1)
            announced = response.headers.get("Content-Length")
        if len(body) > limit_bytes:
            raise FetchError("the answer is too long to be a description", where=what, wanted=f"<= {limit_bytes} bytes")
        if announced is not None and announced.isdigit() and len(body) < int(announced):
            raise _Again(f"the connection was cut after {len(body)} of {announced} bytes")
        return body

    body, _ = _patiently(once, where=what, attempts=attempts, pause=pause)
    return body


class WebPage(FetchError):
    """A web page came where a file was asked for: a quota notice, a log-in, a maintenance page."""


class _Again(Exception):
    """A passing fault: worth another attempt, after `wait_seconds` if the server named a time."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds

    def as_error(self, where: str, attempts: int) -> FetchError:
        return FetchError(
            f"gave up after {attempts} attempt{'s' if attempts > 1 else ''}: {self}",
            where=where,
            hint="give the same command again later with --continue; what came so far is kept and resumed",
        )


class _Wrong(_Again):
    """Content that came whole and is not what its owner published."""

    def __init__(self, what: str, *, wanted: object = None, got: object = None) -> None:
        super().__init__(what)
        self.wanted, self.got = wanted, got

    def as_error(self, where: str, attempts: int) -> FetchError:
        return FetchError(
            f"{self}; the bytes were thrown away",
            where=where,
            wanted=self.wanted,
            got=self.got,
            hint="try again later; if it stays so, the file on the server is not the one published: tell its owner",
        )


class _Part:
    """The unproved bytes beside the target, and the note that says which remote file they belong to."""

    def __init__(self, target: Path, remote: Remote, *, has_proof: bool) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self.note_path = target.with_name(target.name + ".part.json")
        self.remote = remote
        self.has_proof = has_proof
        self.received = 0
        self.validator: str | None = None
        self.total: int | None = None

    def usable_bytes(self) -> int:
        """How many bytes may be built upon; whatever may not is removed."""
        note = self._note()
        size = self.bytes_on_disk()
        validator, total = note.get("validator"), note.get("total")
        self.validator = validator if isinstance(validator, str) else None
        self.total = total if isinstance(total, int) else None
        fits = note.get("url") == self.remote.url and note.get("digests") == self.remote.digests
        # Without a validator only the proof at the end could tell a splice of two versions from the file.
        fits = fits and (self.validator is not None or self.has_proof)
        limit = self.remote.size if self.remote.size is not None else self.total
        if not fits or (limit is not None and size > limit):
            self.discard()
            return 0
        return size

    def bytes_on_disk(self) -> int:
        """How long the part is now; 0 when there is none."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def begin(self, validator: str | None, total: int | None) -> None:
        """Start from zero; the note goes first, so that bytes never lie there unexplained."""
        self.discard()
        self.validator, self.total = validator, total
        note = {"url": self.remote.url, "validator": validator, "total": total, "digests": self.remote.digests}
        with _disk(self.target):
            write_json(self.note_path, note)

    def discard(self) -> None:
        with _disk(self.target):
            self.path.unlink(missing_ok=True)
            self.note_path.unlink(missing_ok=True)
        self.validator = self.total = None

    def finish(self) -> int:
        """Give the proved bytes their final name."""
        with _disk(self.target):
            with self.path.open("rb+") as written:
                os.fsync(written.fileno())
            size = self.path.stat().st_size
            self.path.replace(self.target)
            self.note_path.unlink(missing_ok=True)
            sync_folder(self.target.parent)
        return size

    def _note(self) -> dict[str, Any]:
        try:
            note = json.loads(self.note_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return note if isinstance(note, dict) else {}


def _patiently(once: Callable[[], Result], *, where: str, attempts: int, pause: Pause) -> tuple[Result, int]:
    """The result of `once` and how many attempts it took."""
    mistakes = 0
    last: _Again | None = None
    for attempt in range(1, attempts + 1):
        try:
            return once(), attempt
        except _Again as problem:
            last = problem
        mistakes += isinstance(last, _Wrong)
        if mistakes == 2:
            break
        if attempt < attempts:
            pause(max(min(2.0 ** (attempt - 1), 60.0), last.wait_seconds))
    assert last is not None
    raise last.as_error(where, attempt) from last


def _receive(remote: Remote, part: _Part, timeout_seconds: float, progress: Progress) -> int:
    """Fill the part from where it stands to the end, or raise; the length of the whole."""
    start = part.usable_bytes()
    if start and start == remote.size:
        return start
    headers = {}
    if start:
        headers["Range"] = f"bytes={start}-"
        if part.validator is not None:
            headers["If-Range"] = part.validator
    try:
        asked = _asked(remote, headers, timeout_seconds)
    except _PastTheEnd as problem:
        if problem.total == start:
            return start
        part.discard()
        raise _Again(f"the {start} bytes kept from before go past the end of the file on the server") from problem
    with asked as response:
        start, total = _where_it_starts(response, part, start)
        if remote.size is not None and total is not None and total != remote.size:
            part.discard()
            raise _Wrong(
                "the server offers a file of another size", wanted=f"{remote.size} bytes", got=f"{total} bytes"
            )
        has_an_end = total is not None or remote.size is not None or bool(getattr(response, "chunked", False))
        if not has_an_end and not part.has_proof:
            raise FetchError(
                "nobody says how long the file is, so that a cut could not be told from its end",
                where=remote.name,
                hint="give its size or digest",
            )
        _room_for(remote, part.target, None if total is None else total - start)
        return _pour(response, remote, part, start, total, progress)


def _where_it_starts(response: http.client.HTTPResponse, part: _Part, asked_start: int) -> tuple[int, int | None]:
    """(first byte of this answer, size of the whole file or None); the part is cut back to that first byte."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchError(
            "the server re-encodes the file on the way, which would change its bytes",
            where=part.remote.name,
            got=response.headers.get("Content-Encoding"),
        )
    validator = _validator(response)
    if response.status == 200:
        announced = response.headers.get("Content-Length")
        total = int(announced) if announced is not None and announced.isdigit() else None
        _refuse_web_page(response, part.remote)
        part.begin(validator, total)
        return 0, total
    if response.status != 206:
        raise FetchError("an answer that makes no sense here", where=part.remote.name, got=f"HTTP {response.status}")
    span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if span is None or int(span[1]) != asked_start:
        part.discard()
        raise _Again(f"the server sent another piece than the one from byte {asked_start} on; starting over")
    total = None if span[3] == "*" else int(span[3])
    has_changed = (
        (validator != part.validator and (validator is not None or not part.has_proof))
        or (total is not None and part.total is not None and total != part.total)
        or (total is not None and total < asked_start)
    )
    if has_changed:
        part.discard()
        raise _Again("the file changed on the server since its first bytes came; starting over")
    return asked_start, total if total is not None else part.total


def _validator(response: http.client.HTTPResponse) -> str | None:
    """What tells this version of the file from another; weak ETags promise no equal bytes."""
    tag: str | None = response.headers.get("ETag")
    if tag is not None and not tag.startswith("W/"):
        return tag
    date: str | None = response.headers.get("Last-Modified")
    return date


def _pour(
    response: http.client.HTTPResponse,
    remote: Remote,
    part: _Part,
    start: int,
    total: int | None,
    progress: Progress,
) -> int:
    wanted = remote.size if remote.size is not None else total
    have = start
    with _disk(part.target):
        stream = part.path.open("rb+" if start else "wb")
    # Closing flushes, so a full disk can speak up there too.
    with _disk(part.target), stream:
        stream.seek(start)
        stream.truncate()
        progress(have, wanted, remote.name)
        while True:
            with _network(remote, f"after {have} of {'?' if wanted is None else wanted} bytes"):
                chunk = response.read1(_CHUNK)
            if not chunk:
                break
            stream.write(chunk)
            have += len(chunk)
            part.received += len(chunk)
            if wanted is not None and have > wanted:
                break
            progress(have, wanted, remote.name)
    if wanted is not None and have > wanted:
        part.discard()
        raise _Wrong("more bytes came than the file has", wanted=f"{wanted} bytes", got=f"at least {have} bytes")
    if wanted is not None and have < wanted:
        raise _Again(f"the connection was cut after {have} of {wanted} bytes")
    return have


class _PastTheEnd(Exception):
    """HTTP 416: the range begins behind the file's end. `total` is the file's size, when said."""

    def __init__(self, total: int | None) -> None:
        super().__init__("range not satisfiable")
        self.total = total


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https down to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.type == "https" and urllib.parse.urlsplit(newurl).scheme.lower() != "https":
            fp.close()
            raise FetchError(
                "the server sends us on from https to an unprotected address", where=req.full_url, got=newurl
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _asked(
    remote: Remote, headers: dict[str, str], timeout_seconds: float, method: str = "GET"
) -> http.client.HTTPResponse:
    """The open answer with a good status; other statuses and faults become errors of this module."""
    opener = urllib.request.OpenerDirector()
    # The default opener would also open file:, ftp: and data: addresses after a redirect.
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        _Redirects,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    # Compressed transfer would change the bytes that sizes, ranges and digests speak of.
    standing = {"User-Agent": "fauxlens", "Accept": "*/*", "Accept-Encoding": "identity"}
    try:
        request = urllib.request.Request(remote.url, headers=standing | headers, method=method)
        with _network(remote):
            response = opener.open(request, timeout=timeout_seconds)
    except urllib.error.HTTPError as refusal:
        with refusal:
            raise _from_status(refusal, remote) from refusal
    except (ValueError, http.client.InvalidURL) as broken:
        raise FetchError("this address cannot be read", where=remote.name, got=repr(remote.url)) from broken
    assert isinstance(response, http.client.HTTPResponse)
    return response


def _from_status(refusal: urllib.error.HTTPError, remote: Remote) -> Exception:
    code = refusal.code
    if code == 416:
        said = re.fullmatch(r"bytes \*/(\d+)", (refusal.headers.get("Content-Range") or "").strip())
        return _PastTheEnd(int(said[1]) if said else None)
    if code in _PASSING_STATUS:
        return _Again(f"the server answered {code} {refusal.reason}", _retry_after(refusal.headers.get("Retry-After")))
    what, hint = _REFUSALS.get(code, (f"the server answered {code} {refusal.reason}", "see the address in a browser"))
    return FetchError(what, where=remote.name, got=remote.url, hint=hint)


def _retry_after(value: str | None) -> float:
    """Seconds that the server asks us to wait, bounded; 0 when it names none."""
    if value is None:
        return 0.0
    if value.strip().isdigit():
        return min(float(value), LONGEST_WAIT_SECONDS)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    wait = (moment - datetime.datetime.now(datetime.UTC)).total_seconds()
    return min(max(wait, 0.0), LONGEST_WAIT_SECONDS)


@contextlib.contextmanager
def _network(remote: Remote, when: str = "") -> Iterator[None]:
    """Turn what the network can do to us into another attempt."""
    tail = f" {when}" if when else ""
    try:
        yield
    except urllib.error.HTTPError:
        raise
    except (FetchError, _Again):
        raise
    except TimeoutError as fault:
        raise _Again(f"the server did not answer in time{tail}") from fault
    except (OSError, http.client.HTTPException) as fault:
        reason = fault.reason if isinstance(fault, urllib.error.URLError) else fault
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise FetchError(
                "the server's certificate cannot be trusted",
                where=remote.name,
                got=reason.verify_message,
                hint="check this machine's clock and certificates",
            ) from fault
        if isinstance(reason, TimeoutError):
            raise _Again(f"the server did not answer in time{tail}") from fault
        if isinstance(reason, str) and "unknown url type" in reason:
            raise FetchError(
                "the server sends us on to an address that is neither http nor https", where=remote.name, got=reason
            ) from fault
        raise _Again(f"the connection failed{tail}: {reason or type(reason).__name__}") from fault


@contextlib.contextmanager
def _disk(target: Path) -> Iterator[None]:
    """Turn what the disk can do to us into an error that says so; the part is kept."""
    try:
        yield
    except (FetchError, _Again):
        raise
    except OSError as fault:
        if fault.errno in _DISK_FULL:
            raise FetchError(
                "the disk or the quota is full",
                where=target,
                got=f"{fault.strerror}",
                hint="make room and run it again; what came so far is kept and resumed",
            ) from fault
        raise FetchError(
            "cannot write here", where=target, got=str(fault), hint="check the folder and its rights"
        ) from fault


def _room_for(remote: Remote, target: Path, more_bytes: int | None) -> None:
    if more_bytes is None:
        return
    free = shutil.disk_usage(target.parent).free
    if more_bytes > free:
        raise FetchError(
            "the disk has no room for it",
            where=remote.name,
            wanted=f"{more_bytes} more bytes",
            got=f"{free} free in {target.parent}",
            hint="make room or choose another destination; what came so far is kept",
        )


def _refuse_web_page(response: http.client.HTTPResponse, remote: Remote) -> None:
    """Owners' servers answer 200 with a page for quotas, log-ins and maintenance."""
    if response.headers.get_content_type() != "text/html" or remote.name.lower().endswith((".html", ".htm")):
        return
    with _network(remote):
        text = response.read(1 << 16).decode("utf-8", "replace")
    raise WebPage(
        f"a web page came instead of the file{page_subject(text)}",
        where=remote.name,
        got=remote.url,
        hint="open the address in a browser to see what it asks for; a quota usually ends after a day",
    )


def page_subject(text: str) -> str:
    """', titled "..."' and whether the page speaks of a quota; empty when it says neither.

    >>> page_subject("<html><title>Drive - Quota exceeded</title>")
    ', titled "Drive - Quota exceeded" (it speaks of a quota)'
    """
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    words = " ".join(html.unescape(title[1]).split())[:200] if title else ""
    quota = " (it speaks of a quota)" if "quota" in text.lower() else ""
    return (f', titled "{words}"' if words else "") + quota


def _is_right(remote: Remote, target: Path, timeout_seconds: float, verify: Verify | None) -> bool:
    """Whether the file already at `target` is the remote one, as far as that can be known."""
    if target.is_dir():
        raise FetchError("a folder lies where the file should go", where=target, hint="move it or choose another place")
    if not target.is_file():
        return False
    if remote.size is None and not remote.digests and verify is None:
        try:
            with _asked(remote, {}, timeout_seconds, method="HEAD") as response:
                announced = response.headers.get("Content-Length")
        except (FetchError, _Again, _PastTheEnd):
            return False
        return announced is not None and announced.isdigit() and target.stat().st_size == int(announced)
    return _what_is_wrong(remote, target, verify) is None


def _what_is_wrong(remote: Remote, path: Path, verify: Verify | None) -> _Wrong | None:
    """Check the whole file on disk: size, digests, the caller's own proof."""
    with _disk(path):
        size = path.stat().st_size
        if remote.size is not None and size != remote.size:
            return _Wrong("the file has the wrong size", wanted=f"{remote.size} bytes", got=f"{size} bytes")
        for algorithm, wanted in remote.digests.items():
            got = _digest_of(path, algorithm)
            if got != wanted.lower():
                return _Wrong(f"the file has the wrong {algorithm}", wanted=wanted.lower(), got=got)
    reason = verify(path) if verify is not None else None
    return None if reason is None else _Wrong(reason)


def _digest_of(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()

"""What came of each sample, written down as it happens, so that a kill at any moment loses at most one sample.

A shard has an append-only ledger, `shards/00000.jsonl`, one line a sample:

    {"at":1767225600.125,"check":"5f3a9c01","seconds":0.012345,"outcome":{"key":"a","result":{...},"status":"ok"}}

`outcome` is canonical JSON and depends on the sample alone; the times are outside it. `check` is the CRC-32 of the
outcome's bytes, started from the plan's fingerprint and the shard: a line that is torn, rotten or from elsewhere is no
line, and its sample is done again. The last valid line of a key wins; `withdrawn` in the place of a status takes back
what was said before.

That a shard is done is said by `shards/00000.done.json` alone, and only when the digest in it is that of the ledger.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import logging
import os
import platform
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fauxlens.core.errors import FauxlensError, WorkError
from fauxlens.core.files import write_json
from fauxlens.core.version import __version__
from fauxlens.work.canonical import canonical
from fauxlens.work.lease import hold, open_file
from fauxlens.work.plan import Item, Plan

_LOG = logging.getLogger("fauxlens.work")
_OUTCOME = b',"outcome":'
_WITHDRAWN = "withdrawn"
STATUSES = ("ok", "failed", "quarantined")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a sample has no result."""

    kind: str  # the class of the error, or WorkerDied, or OutOfTime
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one sample: a result, or why there is none. Equal outcomes may have taken different times."""

    key: str
    status: str  # one of STATUSES
    result: Mapping[str, Any] | None = None  # None unless ok
    error: Failure | None = None  # None when ok
    seconds: float = field(default=0.0, compare=False)

    @property
    def text(self) -> str:
        """Canonical JSON, without the time it took: the same bytes whoever did the work, and when."""
        if self.error is None:
            return f'{{"key":{canonical(self.key)},"result":{canonical(self.result)},"status":"{self.status}"}}'
        error = canonical(asdict(self.error))
        return f'{{"error":{error},"key":{canonical(self.key)},"status":"{self.status}"}}'


@dataclass(frozen=True, slots=True)
class Completion:
    """The completion record of a shard."""

    fingerprint: str
    shard: int
    rows: int
    ok: int
    failed: int
    quarantined: int
    failures: Mapping[str, int]  # kind -> how many, failed and quarantined together
    results_sha256: str  # over the outcomes' canonical texts in item order
    ledger_sha256: str  # over the ledger's bytes; when it still fits, nothing needs to be parsed
    seconds: float  # spent in the task, over all samples
    finished: str  # ISO 8601, UTC
    versions: Mapping[str, str]


class Line(NamedTuple):
    """A valid line of a ledger."""

    text: bytes  # the outcome's canonical text
    at: float  # seconds since 1970, when it was written
    seconds: float

    def outcome(self) -> Outcome:
        """The outcome that the line holds."""
        found = json.loads(self.text)
        error = found.get("error")
        return Outcome(
            key=found["key"],
            status=found["status"],
            result=found.get("result"),
            error=None if error is None else Failure(**error),
            seconds=self.seconds,
        )


class Ledger:
    """A shard's ledger, held by this process. Get one from `open_ledger`."""

    def __init__(self, plan: Plan, shard: int, handle: int) -> None:
        self.plan = plan
        self.shard = shard
        self._handle = handle
        self._salt = _salt(plan, shard)
        data = _read_all(handle)
        torn = len(data) - (data.rfind(b"\n") + 1)
        if torn:
            # Killed in the middle of a line. Without this the next line would continue the torn one.
            os.ftruncate(handle, len(data) - torn)
        self.lines = parse(plan, shard, data)

    def append(self, outcome: Outcome) -> None:
        """Write down what came of a sample. When this returns, a kill of this process cannot undo it."""
        text = outcome.text.encode("ascii")
        self.lines[outcome.key] = Line(text, self._write(text, outcome.seconds), outcome.seconds)

    def withdraw(self, key: str) -> None:
        """Write down that the sample is to be done again."""
        self._write(f'{{"key":{canonical(key)},"status":"{_WITHDRAWN}"}}'.encode("ascii"), 0.0)
        self.lines.pop(key, None)

    def _write(self, text: bytes, seconds: float) -> float:
        """Append a line; -> when."""
        at = time.time()
        head = f'{{"at":{at:.3f},"check":"{zlib.crc32(text, self._salt):08x}","seconds":{seconds:.6f}'
        rest = memoryview(b"".join((head.encode("ascii"), _OUTCOME, text, b"}\n")))
        try:
            while rest:  # a disk that fills up may take a part of it
                rest = rest[os.write(self._handle, rest) :]
        except OSError as full:
            raise WorkError(
                f"the ledger cannot be written: {full.strerror}",
                where=ledger_path(self.plan.folder, self.shard),
                hint="make room and run the same command again; it goes on where it stopped",
            ) from full
        return at

    def is_complete(self, items: Iterable[Item]) -> bool:
        """Whether a completion record is there and tells the truth."""
        record = read_completion(self.plan, self.shard)
        return record is not None and record.results_sha256 == _results_sha256(self.lines, items)

    def complete(self, items: Iterable[Item]) -> None:
        """Write the completion record. Every item must have its line."""
        os.fsync(self._handle)
        items = list(items)
        lines = [self.lines[item.key] for item in items]
        statuses, failures = tally(lines)
        record = Completion(
            fingerprint=self.plan.fingerprint,
            shard=self.shard,
            rows=len(lines),
            ok=statuses["ok"],
            failed=statuses["failed"],
            quarantined=statuses["quarantined"],
            failures=dict(failures),
            results_sha256=_results_sha256(self.lines, items) or "",
            ledger_sha256=hashlib.sha256(_read_all(self._handle)).hexdigest(),
            seconds=round(sum(line.seconds for line in lines), 6),
            finished=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            versions={"fauxlens": __version__, "python": platform.python_version()},
        )
        write_json(completion_path(self.plan.folder, self.shard), asdict(record))


@contextlib.contextmanager
def open_ledger(plan: Plan, shard: int) -> Iterator[Ledger | None]:
    """Take the lease of a shard and open its ledger; None when another process holds it."""
    path = ledger_path(plan.folder, shard)
    path.parent.mkdir(exist_ok=True)
    handle = open_file(path)
    try:
        yield Ledger(plan, shard, handle) if hold(handle) else None
    finally:
        os.close(handle)


def read_ledger(plan: Plan, shard: int) -> dict[str, Line]:
    """The valid lines of a shard by key, also while another process writes it."""
    return parse(plan, shard, ledger_bytes(plan, shard))


def read_completion(plan: Plan, shard: int) -> Completion | None:
    """The completion record of a shard as it stands; None when there is none that can be meant for this plan."""
    try:
        record = Completion(**json.loads(completion_path(plan.folder, shard).read_bytes()))
        datetime.datetime.fromisoformat(record.finished)
        counted = record.ok + record.failed + record.quarantined
        is_ours = (record.fingerprint, record.shard, record.rows) == (plan.fingerprint, shard, plan.rows(shard))
        return record if is_ours and counted == record.rows else None
    except (OSError, ValueError, TypeError):
        return None


def is_believed(plan: Plan, record: Completion) -> bool:
    """Whether a completion record tells the truth about its ledger."""
    data = ledger_bytes(plan, record.shard)
    if hashlib.sha256(data).hexdigest() == record.ledger_sha256:
        return True
    # Lines may have been added since (two runs at once); what counts is what the lines say.
    return record.results_sha256 == _results_sha256(parse(plan, record.shard, data), plan.items(record.shard))


def disown(plan: Plan, shard: int) -> bool:
    """Remove a completion record that is not to be believed, and say so; True when there was one."""
    path = completion_path(plan.folder, shard)
    if not path.exists():
        return False
    _LOG.warning("%s does not fit its ledger and is not believed: the shard is completed again", path)
    path.unlink(missing_ok=True)
    return True


def tally(lines: Iterable[Line]) -> tuple[Counter[str], Counter[str]]:
    """-> (how many of each status, how many failures of each kind)."""
    statuses: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for line in lines:
        # An ok line ends in its status and need not be parsed; results may be long.
        if line.text.endswith(b',"status":"ok"}'):
            statuses["ok"] += 1
            continue
        outcome = line.outcome()
        statuses[outcome.status] += 1
        failures[outcome.error.kind if outcome.error else "unknown"] += 1
    return statuses, failures


def parse(plan: Plan, shard: int, data: bytes) -> dict[str, Line]:
    """The valid lines by key; the last of each key wins. What follows the last line end is torn, and ignored."""
    salt = _salt(plan, shard)
    lines: dict[str, Line] = {}
    for one in data.split(b"\n")[:-1]:
        head, mark, tail = one.partition(_OUTCOME)
        text = tail[:-1]
        if not mark or not tail.endswith(b"}"):
            continue
        try:
            facts = json.loads(head + b"}")
            if int(facts["check"], 16) == zlib.crc32(text, salt):
                found = json.loads(text)
                if found["status"] == _WITHDRAWN:
                    lines.pop(found["key"], None)
                else:
                    lines[found["key"]] = Line(text, facts["at"], facts["seconds"])
        except (ValueError, KeyError, TypeError):
            continue
    return lines


def ledger_bytes(plan: Plan, shard: int) -> bytes:
    """What a shard's ledger holds; nothing when it was not begun."""
    try:
        return ledger_path(plan.folder, shard).read_bytes()
    except FileNotFoundError:
        return b""


def failure_of(fault: BaseException) -> Failure:
    """An exception as data; ours keep their kind and their hint."""
    if isinstance(fault, FauxlensError):
        return Failure(fault.kind, fault.message, fault.hint)
    try:
        message = str(fault)
    except Exception as worse:
        message = f"(its message cannot be shown: {type(worse).__name__})"
    return Failure(type(fault).__name__, message)


def ledger_path(folder: Path, shard: int) -> Path:
    """Where a shard's ledger is."""
    return folder / "shards" / f"{shard:05d}.jsonl"


def completion_path(folder: Path, shard: int) -> Path:
    """Where a shard's completion record is."""
    return folder / "shards" / f"{shard:05d}.done.json"


def _salt(plan: Plan, shard: int) -> int:
    return zlib.crc32(f"{plan.fingerprint}/{shard}".encode("ascii"))


def _read_all(handle: int) -> bytes:
    os.lseek(handle, 0, os.SEEK_SET)
    pieces = []
    while piece := os.read(handle, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def _results_sha256(lines: Mapping[str, Line], items: Iterable[Item]) -> str | None:
    """Hex SHA-256 over the outcomes in item order; None when one is missing."""
    digest = hashlib.sha256()
    for item in items:
        line = lines.get(item.key)
        if line is None:
            return None
        digest.update(line.text)
        digest.update(b"\n")
    return digest.hexdigest()

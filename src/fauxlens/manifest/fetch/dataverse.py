"""A Dataverse record: its list of files through the native API, then the files one by one.

UnbiasedGenImage is published as the record `doi:10.7910/DVN/AKDIHF`: 503 files, of which 500
are one Zip64 archive cut into pieces (`splitzip` puts them together or reads them as they lie).
"""

from __future__ import annotations

import fnmatch
import json
import shutil
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fauxlens.core.errors import FetchError
from fauxlens.core.progress import Progress, silent
from fauxlens.manifest.fetch.download import TIMEOUT_SECONDS, Pause, Remote, fetch_file, read_answer
from fauxlens.manifest.fetch.outcome import FetchReport, Planned, State
from fauxlens.manifest.fetch.places import inside

HARVARD = "https://dataverse.harvard.edu"
UNBIASED_GENIMAGE = "doi:10.7910/DVN/AKDIHF"

_DIGEST_FIELDS = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-512": "sha512"}


@dataclass(frozen=True, slots=True)
class RecordFiles:
    """What a record lists: the files that can be fetched, and the entries that cannot, with the reason."""

    record: str
    files: tuple[Remote, ...]
    unusable: tuple[tuple[str, str], ...]


def list_dataverse(
    record: str,
    *,
    server: str = HARVARD,
    attempts: int = 5,
    timeout_seconds: float = TIMEOUT_SECONDS,
    pause: Pause = time.sleep,
) -> RecordFiles:
    """The files of the latest version of `record` (a DOI such as `doi:10.7910/DVN/AKDIHF`)."""
    server = server.rstrip("/")
    address = f"{server}/api/datasets/:persistentId/?persistentId={urllib.parse.quote(record, safe='')}"
    body = read_answer(address, what=record, attempts=attempts, timeout_seconds=timeout_seconds, pause=pause)
    try:
        entries = json.loads(body)["data"]["latestVersion"]["files"]
        if not isinstance(entries, list):
            raise TypeError("files is no list")
    except (ValueError, KeyError, TypeError) as fault:
        raise FetchError(
            "the answer is no Dataverse record",
            where=address,
            wanted="data.latestVersion.files",
            got=f"{body[:80]!r}",
            hint="check the server and the record",
        ) from fault
    files: list[Remote] = []
    unusable: list[tuple[str, str]] = []
    for number, entry in enumerate(entries, start=1):
        try:
            files.append(_remote(entry, server))
        except FetchError as fault:
            unusable.append((f"entry {number}", str(fault)))
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            unusable.append((f"entry {number}", f"not understood: {type(fault).__name__} {fault}"))
    return RecordFiles(record, tuple(files), tuple(unusable))


def fetch_dataverse(
    record: str,
    destination: Path,
    *,
    server: str = HARVARD,
    only: Sequence[str] = (),
    carry_on: bool = False,
    attempts: int = 5,
    dry_run: bool = False,
    timeout_seconds: float = TIMEOUT_SECONDS,
    progress: Progress = silent,
    pause: Pause = time.sleep,
) -> FetchReport:
    """Bring the files of `record` to `destination/<directory label>/<file name>`.

    `only` takes glob patterns, matched against the whole name and the last part of it. A file that fails is reported
    and does not stop the others. `dry_run` fetches the list alone and reports sizes, what lies there and the room.

    `carry_on=True` goes on with an earlier run: what is there and proves right (size and digest of the record) is
    kept, what is partial is resumed, what is wrong is replaced once the right one has come. `carry_on=False`, a
    first run, refuses to begin when any wanted file, or a part of one, is there already. The authors' tool overwrites
    in that case (and with `--continue` keeps truncated files); a day of downloading is too much to lose to a
    forgotten option.
    """
    destination = Path(destination)
    listed = list_dataverse(record, server=server, attempts=attempts, timeout_seconds=timeout_seconds, pause=pause)
    wanted, failed = _placed(_chosen(listed, only), destination)
    if not only:
        failed += list(listed.unusable)
    planned = tuple(_planned(remote, target) for remote, target in wanted)
    needed = sum(_still_to_come(remote, target, plan) for (remote, target), plan in zip(wanted, planned, strict=True))
    free = shutil.disk_usage(_first_existing(destination)).free
    if dry_run:
        return FetchReport(
            record,
            destination,
            failed=tuple(failed),
            needed_bytes=needed,
            free_bytes=free,
            planned=planned,
            dry_run=True,
        )
    _refuse_to_overwrite(planned, destination, carry_on)
    if needed > free:
        raise FetchError(
            "the disk has no room for all of it",
            where=destination,
            wanted=f"{needed} bytes more",
            got=f"{free} free",
            hint="make room, give another --destination, or fetch a part of it with --only, such as --only '*.csv'",
        )
    done: list[str] = []
    there: list[str] = []
    received = 0
    for remote, target in wanted:
        try:
            fetched = fetch_file(
                remote, target, attempts=attempts, timeout_seconds=timeout_seconds, progress=progress, pause=pause
            )
        except FetchError as fault:
            failed.append((remote.name, str(fault)))
            continue
        received += fetched.received
        (done if fetched.status == "done" else there).append(remote.name)
    return FetchReport(
        record,
        destination,
        tuple(done),
        tuple(there),
        tuple(failed),
        bytes=received,
        needed_bytes=needed,
        free_bytes=free,
        planned=planned,
    )


def _remote(entry: dict[str, Any], server: str) -> Remote:
    """One entry of `latestVersion.files`."""
    data = entry["dataFile"]
    address = f"{server}/api/access/datafile/{int(data['id'])}"
    name, size = data["filename"], data.get("filesize")
    if data.get("originalFileName"):
        # Tables are converted on upload; the digest of the record is over the file as it was uploaded.
        address, name, size = f"{address}?format=original", data["originalFileName"], data.get("originalFileSize")
    folder = entry.get("directoryLabel") or ""
    digests = {}
    checksum = data.get("checksum") or {}
    if checksum.get("type") in _DIGEST_FIELDS:
        digests[_DIGEST_FIELDS[checksum["type"]]] = str(checksum["value"])
    elif data.get("md5"):
        digests["md5"] = str(data["md5"])
    whole_name = f"{folder}/{name}" if folder else str(name)
    return Remote(address, whole_name, size=None if size is None else int(size), **digests)


def _chosen(listed: RecordFiles, only: Sequence[str]) -> list[Remote]:
    if not only:
        return list(listed.files)

    def fits(remote: Remote) -> bool:
        last = remote.name.rsplit("/", 1)[-1]
        return any(fnmatch.fnmatchcase(remote.name, p) or fnmatch.fnmatchcase(last, p) for p in only)

    chosen = [remote for remote in listed.files if fits(remote)]
    if not chosen:
        some = ", ".join(remote.name for remote in listed.files[:5])
        raise FetchError(
            f"no file of the record matches {' or '.join(only)}",
            where=listed.record,
            hint=f"its {len(listed.files)} files begin with: {some}",
        )
    return chosen


def _placed(remotes: list[Remote], destination: Path) -> tuple[list[tuple[Remote, Path]], list[tuple[str, str]]]:
    """Each file with its place; the names that have none, with the reason."""
    placed: list[tuple[Remote, Path]] = []
    refused: list[tuple[str, str]] = []
    taken: set[Path] = set()
    for remote in remotes:
        try:
            target = inside(destination, remote.name)
        except FetchError as fault:
            refused.append((remote.name, str(fault)))
            continue
        if target in taken:
            refused.append((remote.name, "the record lists this name twice; the first one was taken"))
            continue
        taken.add(target)
        placed.append((remote, target))
    return placed, refused


def _planned(remote: Remote, target: Path) -> Planned:
    state: State = "missing"
    if target.exists():
        state = "same size" if target.is_file() and target.stat().st_size == remote.size else "other size"
    elif target.with_name(target.name + ".part").exists():
        state = "partial"
    return Planned(remote.name, remote.size, state)


def _still_to_come(remote: Remote, target: Path, plan: Planned) -> int:
    if remote.size is None or plan.state == "same size":
        return 0
    part = target.with_name(target.name + ".part")
    return max(remote.size - (part.stat().st_size if part.exists() else 0), 0)


def _refuse_to_overwrite(planned: tuple[Planned, ...], destination: Path, carry_on: bool) -> None:
    there = [plan.name for plan in planned if plan.state != "missing"]
    if there and not carry_on:
        raise FetchError(
            f"{len(there)} of the {len(planned)} files are there already, whole or in part, first: {there[0]}",
            where=destination,
            hint="go on with --continue, which checks and keeps what is whole, or give another --destination",
        )


def _first_existing(folder: Path) -> Path:
    """The nearest folder that exists, whose disk the destination will be on."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder

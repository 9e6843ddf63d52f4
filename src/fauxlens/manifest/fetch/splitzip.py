"""Zip archives that come in pieces: find the pieces, read them as one, join them, unpack them.

Two things share the name. A whole archive cut at byte boundaries (`GenImage.z000` ... `z499`, `NAME.zip.001` ...) only
needs its pieces one behind the other, and that is what is done here. A PKZIP "split" archive (`NAME.z01` ...,
`NAME.zip` last) counts its offsets per piece; it is recognised, and left to `zip -s 0`.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import fnmatch
import io
import itertools
import lzma
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, Literal, cast

from fauxlens.core.errors import BadSetting, FetchError
from fauxlens.core.files import atomic_path
from fauxlens.core.progress import Progress, silent
from fauxlens.manifest.fetch.places import inside

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CHUNK = 1 << 20
_PART_NAME = re.compile(r"(?P<stem>.+)\.(?:(?P<letter>z)(?P<z>\d+)|(?P<plain>\d{3,}))", re.IGNORECASE)
_SPLIT_MARK = b"PK\x07\x08"  # opens the first piece of a PKZIP split archive
_LOCAL = b"PK\x03\x04"
_CENTRAL = struct.Struct("<4s4xHHHHLLLHHHHHLL")
_END = struct.Struct("<4sHHHHLLH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQHHLLQQQQ")
_LOCAL_SAMPLES = 512  # local headers looked up, spread evenly: finds pieces in the wrong order

# What damaged or hostile members make zipfile raise.
_BAD_MEMBER = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,  # encrypted; NotImplementedError: an unknown compression
    ValueError,
    struct.error,
    OSError,
)


@dataclass(frozen=True, slots=True)
class Directory:
    """What the end of an archive says: how many members, their bytes unpacked, where the list of them lies."""

    members: int
    unpacked_bytes: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Joined:
    """An archive put together from its pieces."""

    target: Path
    parts: tuple[Path, ...]
    bytes: int
    members: int
    status: Literal["done", "already there"]
    deleted_parts: bool


@dataclass(frozen=True, slots=True)
class UnpackReport:
    """Which members were written, which were there, which are bad and why."""

    destination: Path
    done: tuple[str, ...]
    already_there: tuple[str, ...]
    bad: tuple[tuple[str, str], ...]
    bytes: int  # written in this run


class SplitReader(io.RawIOBase):
    """The pieces in order, read and sought like one file; `zipfile.ZipFile` takes it. Joining needs no second copy."""

    def __init__(self, parts: Sequence[Path]) -> None:
        super().__init__()
        self.parts = tuple(Path(part) for part in parts)
        sizes = [part.stat().st_size for part in self.parts]
        self._starts = [0, *itertools.accumulate(sizes)]
        self.size = self._starts[-1]
        self._position = 0
        self._open: tuple[int, BinaryIO] | None = None

    @classmethod
    def find(cls, first_or_folder: Path) -> SplitReader:
        """Read the pieces that `find_parts` finds."""
        return cls(find_parts(first_or_folder))

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The position in the whole."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move in the whole, as files do."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer`, over the borders of pieces; less only at the end of the last one."""
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and self._position < self.size:
            index = bisect.bisect_right(self._starts, self._position) - 1
            stream = self._part(index)
            stream.seek(self._position - self._starts[index])
            count = min(len(view) - filled, self._starts[index + 1] - self._position)
            piece = stream.read(count)
            if not piece:
                raise OSError(errno.EIO, "a piece became shorter while it was read", str(self.parts[index]))
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._position += len(piece)
        return filled

    def close(self) -> None:
        """Close the piece that is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None
        super().close()

    def _part(self, index: int) -> BinaryIO:
        if self._open is None or self._open[0] != index:
            if self._open is not None:
                self._open[1].close()
            self._open = (index, self.parts[index].open("rb"))
        return self._open[1]


def find_parts(first_or_folder: Path) -> tuple[Path, ...]:
    """The pieces of the archive, in the order of their numbers; refuses gaps, doubles and empty pieces.

    Takes any piece of the set, or a folder that holds exactly one set. Numbers count from 0 or 1, and `z10` follows
    `z9` whether or not they are padded.
    """
    place = Path(first_or_folder)
    if not place.exists():
        raise BadSetting("there is no such file or folder", where=place, hint="give one of the pieces, or their folder")
    folder = place if place.is_dir() else place.parent
    sets: dict[tuple[str, bool], list[tuple[int, Path]]] = {}
    for path in sorted(folder.iterdir()):
        found = _PART_NAME.fullmatch(path.name)
        if found and path.is_file():
            key = (found["stem"], found["letter"] is not None)
            sets.setdefault(key, []).append((int(found["z"] or found["plain"]), path))
    numbered = _the_set(place, sets)
    numbered.sort(key=lambda pair: pair[0])
    _refuse_split_archive(numbered[0][1])
    _refuse_gaps(numbered)
    return tuple(path for _, path in numbered)


def read_directory(stream: BinaryIO | SplitReader, size: int, name: str) -> Directory:
    """Check that a zip ends as it should and that its list of members fits its `size`; walk the list once."""
    if isinstance(stream, SplitReader):
        # Millions of short reads; detached afterwards, so that the reader stays open.
        buffered = io.BufferedReader(stream, _CHUNK)
        try:
            return _read_directory(buffered, size, name)
        finally:
            buffered.detach()
    return _read_directory(stream, size, name)


def join_parts(
    first_or_folder: Path, target: Path, *, delete_parts: bool = False, progress: Progress = silent
) -> Joined:
    """Write the pieces one behind the other to `target`, whole or not at all.

    The end record and the list of members are checked on the pieces before the first byte is copied, and the copy's
    length after. With `delete_parts` the pieces go once the joined file carries its name. A whole archive already at
    `target` is kept (and so are the pieces: it was not made in this run); anything else there is refused.
    """
    target = Path(target)
    with SplitReader.find(first_or_folder) as reader:
        if target.absolute() in {part.absolute() for part in reader.parts}:
            raise FetchError(
                "the joined file would overwrite one of its pieces", where=target, hint="choose another name"
            )
        directory = read_directory(reader, reader.size, str(reader.parts[0].parent / _stem(reader.parts[0])))
        if target.exists():
            _refuse_other(target, reader.size, directory)
            return Joined(target, reader.parts, reader.size, directory.members, "already there", False)
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
        if reader.size > free:
            raise FetchError(
                "the disk has no room for the joined file",
                where=target,
                wanted=f"{reader.size} bytes",
                got=f"{free} free",
                hint="unpack can read the pieces as they lie, without joining them",
            )
        reader.seek(0)
        try:
            with _disk_of(target), atomic_path(target) as temporary:
                with temporary.open("wb") as joined:
                    while chunk := reader.read(_CHUNK):
                        joined.write(chunk)
                        progress(reader.tell(), reader.size, target.name)
                with temporary.open("rb") as whole:
                    read_directory(whole, temporary.stat().st_size, str(target))
        except _DiskFull as full:
            raise FetchError(
                "the disk or the quota is full; the pieces are untouched",
                where=target,
                hint="make room; or let unpack read the pieces as they lie, without joining them",
            ) from full
    if delete_parts:
        for part in reader.parts:
            part.unlink()
    return Joined(target, reader.parts, reader.size, directory.members, "done", delete_parts)


def unpack(
    archive: Path | SplitReader,
    destination: Path,
    *,
    only: Sequence[str] = (),
    limit_bytes: int | None = None,
    largest_ratio: float = 200.0,
    progress: Progress = silent,
) -> UnpackReport:
    """Write the members of a zip below `destination`, one after the other, each whole and with its CRC checked.

    Refused as a whole, before anything is written: archives whose members sum up to more than `limit_bytes` (None:
    the room on the disk) or to more than `largest_ratio` times the archive. Reported, and the rest goes on: members
    that are damaged, encrypted, links, named twice, or named so that they would leave `destination`. A member that is
    there with the right size and CRC is skipped, so that a broken run can be started again; one that is there and
    differs is replaced. `only` takes glob patterns over the whole name and the last part of it.
    """
    destination = Path(destination)
    name = str(archive.parts[0]) if isinstance(archive, SplitReader) else str(archive)
    done: list[str] = []
    there: list[str] = []
    bad: list[tuple[str, str]] = []
    written = 0
    taken: set[Path] = set()
    with _opened(archive, name) as packed:
        members = [info for info in packed.infolist() if not only or _fits(info.filename, only)]
        total = sum(info.file_size for info in members)
        archive_bytes = archive.size if isinstance(archive, SplitReader) else Path(archive).stat().st_size
        _refuse_bomb(packed, members, archive_bytes, name, limit_bytes, largest_ratio)
        destination.mkdir(parents=True, exist_ok=True)
        _refuse_no_room(members, destination, name)
        passed = 0
        for info in members:
            try:
                target = _place(info, destination, taken)
                if target is None:
                    continue
                if _is_there(target, info):
                    there.append(info.filename)
                else:
                    with _disk_of(target):
                        _extract(packed, info, target)
                    done.append(info.filename)
                    written += info.file_size
            except _DiskFull as full:
                raise FetchError(
                    "the disk or the quota is full",
                    where=destination,
                    got=f"{len(done)} members written",
                    hint="make room and run it again; members that are there are skipped",
                ) from full
            except FetchError as fault:
                bad.append((info.filename, fault.message))
            except _BAD_MEMBER as fault:
                bad.append((info.filename, f"{type(fault).__name__}: {fault}"))
            passed += info.file_size
            progress(passed, total, info.filename)
    return UnpackReport(destination, tuple(done), tuple(there), tuple(bad), written)


class _DiskFull(Exception):
    """Every further member would fail the same way."""


def _the_set(place: Path, sets: dict[tuple[str, bool], list[tuple[int, Path]]]) -> list[tuple[int, Path]]:
    if place.is_dir():
        if len(sets) == 1:
            return next(iter(sets.values()))
        if not sets:
            raise FetchError(
                "no pieces of a split archive here",
                where=place,
                wanted="NAME.z000 ..., NAME.z1 ... or NAME.zip.001 ...",
            )
        several = ", ".join(sorted(stem for stem, _ in sets))
        raise FetchError(f"pieces of several archives lie here: {several}", where=place, hint="give one of the pieces")
    own = _PART_NAME.fullmatch(place.name)
    if own:
        return sets[own["stem"], own["letter"] is not None]
    beside = sets.get((place.stem, True))
    if place.suffix.lower() == ".zip" and beside:
        _refuse_split_archive(min(beside)[1])
    raise FetchError(
        "this is no numbered piece of an archive", where=place, wanted="NAME.z000, NAME.z1, NAME.zip.001 or the like"
    )


def _refuse_split_archive(first: Path) -> None:
    with first.open("rb") as stream:
        if stream.read(4) == _SPLIT_MARK:
            raise _split_archive(first)


def _split_archive(piece: Path) -> FetchError:
    stem = _PART_NAME.fullmatch(piece.name)
    name = stem["stem"] if stem else piece.stem
    return FetchError(
        "a PKZIP split archive, whose pieces cannot simply be put one behind the other",
        where=piece,
        hint=f"join it with `zip -s 0 {name}.zip --out {name}-whole.zip`, then unpack {name}-whole.zip",
    )


def _refuse_gaps(numbered: list[tuple[int, Path]]) -> None:
    widths = {len(_digits(path)) for _, path in numbered}
    width = widths.pop() if len(widths) == 1 else 1
    letter = "" if _digits(numbered[0][1]) == numbered[0][1].suffix[1:] else "z"
    where = numbered[0][1].parent / _stem(numbered[0][1])
    for (number, path), (following, other) in itertools.pairwise(numbered):
        if number == following:
            raise FetchError(f"{path.name} and {other.name} are the same piece twice", where=where, hint="remove one")
    first = numbered[0][0]
    if first > 1:
        raise FetchError(
            f"the pieces begin with {numbered[0][1].name}: {letter}{0:0{width}} or {letter}{1:0{width}} is missing",
            where=where,
            hint="fetch the missing pieces",
        )
    count = numbered[-1][0] - first + 1 - len(numbered)
    if count:
        gaps = (range(number + 1, following) for (number, _), (following, _) in itertools.pairwise(numbered))
        some = list(itertools.islice(itertools.chain.from_iterable(gaps), 10))
        names = ", ".join(f"{letter}{number:0{width}}" for number in some) + (", ..." if count > len(some) else "")
        raise FetchError(
            f"{names} {'is' if count == 1 else 'are'} missing", where=where, hint="fetch the missing pieces"
        )
    for _, path in numbered:
        if path.stat().st_size == 0:
            raise FetchError("this piece is empty", where=path, hint="fetch it again")


def _digits(path: Path) -> str:
    return path.suffix[1:].lstrip("zZ")


def _stem(path: Path) -> str:
    return path.name.removesuffix(path.suffix)


def _read_directory(stream: BinaryIO, size: int, name: str) -> Directory:
    entries, offset, length, end = _end_record(stream, size, name)
    if offset + length != end:
        raise FetchError(
            "the archive is not as long as its end record says: a piece is truncated, missing or out of order",
            where=name,
            wanted=f"{size - end + offset + length} bytes",
            got=f"{size} bytes",
            hint="check the sizes of the pieces against the list they came from",
        )
    unpacked = 0
    samples: list[int] = []
    stride = max(entries // _LOCAL_SAMPLES, 1)
    stream.seek(offset)
    remaining = length
    for number in range(entries):
        header = stream.read(_CENTRAL.size) if remaining >= _CENTRAL.size else b""
        if len(header) < _CENTRAL.size or header[:4] != b"PK\x01\x02":
            raise FetchError(
                "the list of members is damaged",
                where=name,
                wanted=f"{entries} members",
                got=f"{number} that can be read",
            )
        fields = _CENTRAL.unpack(header)
        packed, plain, name_length, extra_length, comment_length, local = (*fields[6:11], fields[14])
        tail = stream.read(name_length + extra_length + comment_length)
        remaining -= _CENTRAL.size + len(tail)
        plain, packed, local = _wide_sizes(tail[name_length : name_length + extra_length], plain, packed, local)
        if local + 30 + packed > offset:
            raise FetchError("a member lies outside the archive", where=name, got=repr(tail[:name_length]))
        unpacked += plain
        if number % stride == 0:
            samples.append(local)
    if remaining:
        raise FetchError("the list of members is longer than its members", where=name, got=f"{remaining} bytes over")
    for local in samples:
        stream.seek(local)
        if stream.read(4) != _LOCAL:
            raise FetchError(
                "members do not lie where the list says: pieces are out of order or damaged",
                where=name,
                hint="check the names, sizes and digests of the pieces",
            )
    return Directory(entries, unpacked, offset, length)


def _end_record(stream: BinaryIO, size: int, name: str) -> tuple[int, int, int, int]:
    """(members, offset of their list, its length, where the end records begin)."""
    tail_start = max(size - _END.size - 0xFFFF, 0)
    stream.seek(tail_start)
    tail = stream.read(size - tail_start)
    at = tail.rfind(b"PK\x05\x06")
    # A comment may hold the same four bytes: the true record's comment reaches exactly to the end.
    while at >= 0 and (len(tail) - at < _END.size or at + _END.size + _END.unpack_from(tail, at)[7] != len(tail)):
        at = tail.rfind(b"PK\x05\x06", 0, at + 3)
    if at < 0:
        raise FetchError(
            "the archive has no end record: the last piece is missing or truncated, or this is no zip",
            where=name,
            hint="check the number of pieces and the size of the last one",
        )
    _, disk, list_disk, _, entries, length, offset, _ = _END.unpack_from(tail, at)
    end = tail_start + at
    disks = {disk, list_disk} - {0xFFFF}
    if end >= _LOCATOR.size:
        stream.seek(end - _LOCATOR.size)
        mark, _, position, disk_count = _LOCATOR.unpack(stream.read(_LOCATOR.size))
        if mark == b"PK\x06\x07":
            if disk_count > 1:
                raise _split_archive(Path(name))
            stream.seek(min(position, size))
            record = stream.read(_END64.size)
            if len(record) < _END64.size or record[:4] != b"PK\x06\x06":
                raise FetchError(
                    "the Zip64 end record is not where it should be: a piece is truncated, missing or out of order",
                    where=name,
                    wanted=f"at byte {position}",
                    got=f"an archive of {size} bytes",
                )
            _, _, _, _, disk, list_disk, _, entries, length, offset = _END64.unpack(record)
            disks = {disk, list_disk}
            end = position
    if disks - {0}:
        raise _split_archive(Path(name))
    return entries, offset, length, end


def _wide_sizes(extra: bytes, plain: int, packed: int, local: int) -> tuple[int, int, int]:
    """The three numbers, taken from the Zip64 field where 32 bits were too few."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{min(length, len(extra) - at - 4) // 8}Q", extra, at + 4))
            values = [next(wide, value) if value == 0xFFFFFFFF else value for value in (plain, packed, local)]
            return values[0], values[1], values[2]
        at += 4 + length
    return plain, packed, local


def _refuse_other(target: Path, size: int, directory: Directory) -> None:
    with target.open("rb") as stream:
        same = target.stat().st_size == size and read_directory(stream, size, str(target)) == directory
    if not same:
        raise FetchError("another file is there already", where=target, hint="move it away or choose another name")


@contextlib.contextmanager
def _opened(archive: Path | SplitReader, name: str) -> Iterator[zipfile.ZipFile]:
    source = cast("IO[bytes]", archive) if isinstance(archive, SplitReader) else Path(archive)
    try:
        packed = zipfile.ZipFile(source)
    except zipfile.BadZipFile as fault:
        raise FetchError(
            "this is no zip, or not a whole one", where=name, got=str(fault), hint="is the download complete?"
        ) from fault
    except FileNotFoundError as fault:
        raise BadSetting("there is no such archive", where=name, hint="give a zip, or one of its pieces") from fault
    with packed:
        yield packed


def _fits(name: str, only: Sequence[str]) -> bool:
    last = name.rsplit("/", 1)[-1]
    return any(fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(last, pattern) for pattern in only)


def _refuse_bomb(
    packed: zipfile.ZipFile,
    members: list[zipfile.ZipInfo],
    archive_bytes: int,
    name: str,
    limit_bytes: int | None,
    largest_ratio: float,
) -> None:
    total = sum(info.file_size for info in members)
    if limit_bytes is not None and total > limit_bytes:
        raise FetchError(
            "the archive unpacks to more than is allowed",
            where=name,
            wanted=f"<= {limit_bytes} bytes",
            got=f"{total} bytes",
            hint="raise the limit if you trust where it comes from",
        )
    # The ratio is a property of the archive, not of the members chosen from it.
    everything = sum(info.file_size for info in packed.infolist())
    if everything > largest_ratio * archive_bytes:
        raise FetchError(
            "the archive unpacks to suspiciously much: it may be a zip bomb",
            where=name,
            wanted=f"<= {largest_ratio:g} times its {archive_bytes} bytes",
            got=f"{everything} bytes",
            hint="raise the largest ratio if you trust where it comes from",
        )


def _refuse_no_room(members: list[zipfile.ZipInfo], destination: Path, name: str) -> None:
    free = shutil.disk_usage(destination).free
    needed = 0
    for info in members:
        # A name that leads out is reported when its turn comes.
        with contextlib.suppress(FetchError, OSError):
            target = inside(destination, info.filename.rstrip("/"))
            if not (target.exists() and target.stat().st_size == info.file_size):
                needed += info.file_size
    if needed > free:
        raise FetchError(
            "the disk has no room for the members",
            where=name,
            wanted=f"{needed} bytes",
            got=f"{free} free in {destination}",
            hint="make room, give another --destination, or unpack a part of it with --only",
        )


def _place(info: zipfile.ZipInfo, destination: Path, taken: set[Path]) -> Path | None:
    """Where a member goes; None for a folder, which is made."""
    target = inside(destination, info.filename.rstrip("/"))
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise FetchError("a link or device, which is never unpacked")
    if info.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return None
    if target in taken:
        raise FetchError("the archive holds this name twice; the first one was taken")
    taken.add(target)
    return target


def _is_there(target: Path, info: zipfile.ZipInfo) -> bool:
    if not target.is_file() or target.stat().st_size != info.file_size:
        return False
    check = 0
    with target.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            check = zlib.crc32(chunk, check)
    return check == info.CRC


def _extract(packed: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not core.files.atomic_path: syncing millions of members one by one takes days on a spinning disk, and a later run
    # checks size and CRC anyway. The fixed name lets it clean up after a run that was killed.
    temporary = target.parent / f".{target.name[:120]}.part"
    try:
        with packed.open(info) as source, temporary.open("wb") as out:
            # zipfile stops at the size the list gives, and compares the CRC there.
            while chunk := source.read(_CHUNK):
                out.write(chunk)
        got = temporary.stat().st_size
        if got != info.file_size:
            raise FetchError("the member is truncated", wanted=f"{info.file_size} bytes", got=f"{got} bytes")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _disk_of(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        if fault.errno in {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}:
            raise _DiskFull(str(target)) from fault
        raise

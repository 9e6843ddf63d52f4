"""Archives in pieces: order, gaps, damage, hostile members, and starting again."""

from __future__ import annotations

import io
import random
import shutil
import stat
import struct
import warnings
import zipfile
import zlib
from collections import namedtuple
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fauxlens.core.errors import BadSetting, FetchError
from fauxlens.manifest.fetch.splitzip import SplitReader, find_parts, join_parts, read_directory, unpack

MEMBERS = {
    f"GenImage/{generator}/val/{side}/{number}.png": random.Random(number).randbytes(400 + number)
    for number, (generator, side) in enumerate([("ADM", "ai"), ("ADM", "nature"), ("glide", "ai"), ("BigGAN", "ai")])
}


def archive(members: dict[str, bytes] = MEMBERS, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as writer:
        writer.writestr("GenImage/", b"")
        for name, body in members.items():
            writer.writestr(name, body)
    return packed.getvalue()


def zip64_archive() -> bytes:
    """An archive whose end is written in Zip64 although it is small, as the big one's is."""
    plain = archive()
    at = plain.rindex(b"PK\x05\x06")
    _, _, _, _, entries, size, offset, _ = struct.unpack("<4sHHHHLLH", plain[at:])
    record = struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, size, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return plain[:at] + record + locator + end


def cut(whole: bytes, folder: Path, count: int, name: str = "GenImage.z{}", first: int = 0) -> list[Path]:
    length = -(-len(whole) // count)
    parts = []
    for number in range(count):
        part = folder / name.format(number + first)
        part.write_bytes(whole[number * length : (number + 1) * length])
        parts.append(part)
    return parts


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "first"), [("G.z{}", 1), ("G.z{}", 0), ("G.z{:03}", 0), ("G.zip.{:03}", 1), ("G.Z{:02}", 1)]
)
@pytest.mark.parametrize("whole", [archive(), zip64_archive()], ids=["zip", "zip64"])
def test_pieces_are_joined_by_number(tmp_path: Path, whole: bytes, name: str, first: int) -> None:
    parts = cut(whole, tmp_path, 12, name, first)
    assert find_parts(tmp_path) == tuple(parts)
    assert find_parts(parts[7]) == tuple(parts)
    joined = join_parts(tmp_path, tmp_path / "out" / "whole.zip")
    assert (tmp_path / "out" / "whole.zip").read_bytes() == whole
    assert (joined.status, joined.bytes, joined.members) == ("done", len(whole), 5)
    assert all(part.exists() for part in parts)
    with zipfile.ZipFile(joined.target) as reader:
        assert reader.testzip() is None


def test_joining_again_and_deleting_the_pieces(tmp_path: Path) -> None:
    parts = cut(archive(), tmp_path, 4)
    target = tmp_path / "whole.zip"
    assert join_parts(tmp_path, target).status == "done"
    again = join_parts(tmp_path, target, delete_parts=True)
    assert (again.status, again.deleted_parts) == ("already there", False)
    assert all(part.exists() for part in parts)
    target.unlink()
    assert join_parts(parts[0], target, delete_parts=True).deleted_parts
    assert not any(part.exists() for part in parts)
    assert target.read_bytes() == archive()


def test_something_else_at_the_target_stays(tmp_path: Path) -> None:
    parts = cut(archive(), tmp_path, 3)
    target = tmp_path / "whole.zip"
    target.write_bytes(b"mine")
    with pytest.raises(FetchError, match="another file is there"):
        join_parts(tmp_path, target)
    assert target.read_bytes() == b"mine"
    with pytest.raises(FetchError, match="overwrite one of its pieces"):
        join_parts(tmp_path, parts[1])


@pytest.mark.parametrize(
    ("name", "first", "lost", "words"),
    [
        ("G.z{:03}", 0, [17], "z017 is missing"),
        ("G.z{:03}", 0, [3, 17], "z003, z017 are missing"),
        ("G.z{}", 1, [10], "z10 is missing"),
        ("G.zip.{:03}", 1, [5], "005 is missing"),
        ("G.z{:03}", 0, [0, 1], "begin with G.z002: z000 or z001 is missing"),
        ("G.z{:03}", 0, [19], "no end record"),
    ],
)
def test_a_missing_piece_is_named(tmp_path: Path, name: str, first: int, lost: list[int], words: str) -> None:
    parts = cut(archive({f"{number}": bytes(300) for number in range(40)}), tmp_path, 20, name, first)
    for number in lost:
        parts[number - first].unlink()
    with pytest.raises(FetchError, match=words):
        join_parts(tmp_path, tmp_path / "whole.zip")
    assert not (tmp_path / "whole.zip").exists()


def test_a_missing_first_piece_counted_from_one_is_found_by_the_length(tmp_path: Path) -> None:
    cut(archive(), tmp_path, 5)[0].unlink()
    with pytest.raises(FetchError, match="not as long as its end record says"):
        join_parts(tmp_path, tmp_path / "whole.zip")


def test_doubles_and_empty_pieces_are_refused(tmp_path: Path) -> None:
    parts = cut(archive(), tmp_path, 4, "G.z{}")
    shutil.copy(parts[1], tmp_path / "G.z01")
    with pytest.raises(FetchError, match=r"G\.z01 and G\.z1 are the same piece twice"):
        find_parts(tmp_path)
    (tmp_path / "G.z01").unlink()
    parts[2].write_bytes(b"")
    with pytest.raises(FetchError, match="empty"):
        find_parts(tmp_path)


@pytest.mark.parametrize("whole", [archive(), zip64_archive()], ids=["zip", "zip64"])
@pytest.mark.parametrize("hurt", [0, 2, -1])
def test_a_truncated_piece_is_found_before_anything_is_written(tmp_path: Path, whole: bytes, hurt: int) -> None:
    parts = cut(whole, tmp_path, 5)
    parts[hurt].write_bytes(parts[hurt].read_bytes()[:-1])
    with pytest.raises(FetchError, match=r"missing|truncated"):
        join_parts(tmp_path, tmp_path / "whole.zip", delete_parts=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"GenImage.z{number}" for number in range(5)]


def test_pieces_under_each_others_names_are_found(tmp_path: Path) -> None:
    parts = cut(archive(method=zipfile.ZIP_STORED), tmp_path, 6)
    one, two = parts[1].read_bytes(), parts[2].read_bytes()
    parts[1].write_bytes(two)
    parts[2].write_bytes(one)
    with pytest.raises(FetchError, match="out of order"):
        join_parts(tmp_path, tmp_path / "whole.zip")


def test_a_real_split_archive_is_recognised(tmp_path: Path) -> None:
    whole = b"PK\x07\x08" + archive()
    (tmp_path / "N.z01").write_bytes(whole[:1000])
    (tmp_path / "N.zip").write_bytes(whole[1000:])
    for place in (tmp_path, tmp_path / "N.z01", tmp_path / "N.zip"):
        with pytest.raises(FetchError, match=r"PKZIP split archive.*zip -s 0 N\.zip --out N-whole\.zip"):
            join_parts(place, tmp_path / "out.zip")
    last = bytearray(archive())
    at = last.rindex(b"PK\x05\x06")
    last[at + 4 : at + 6] = b"\x03\x00"
    with pytest.raises(FetchError, match="PKZIP split archive"):
        read_directory(io.BytesIO(last), len(last), "N.zip")


def test_places_without_one_set_of_pieces(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="no pieces"):
        find_parts(tmp_path)
    with pytest.raises(BadSetting, match="no such file"):
        find_parts(tmp_path / "none")
    (tmp_path / "whole.zip").write_bytes(archive())
    with pytest.raises(FetchError, match="no numbered piece"):
        find_parts(tmp_path / "whole.zip")
    cut(archive(), tmp_path, 2, "a.z{}")
    cut(archive(), tmp_path, 2, "b.z{}")
    with pytest.raises(FetchError, match="several archives lie here: a, b"):
        find_parts(tmp_path)
    assert [part.name for part in find_parts(tmp_path / "b.z1")] == ["b.z0", "b.z1"]


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6), data=st.data())
def test_the_reader_is_one_file(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    body = random.Random(1).randbytes(sum(sizes))
    parts, at = [], 0
    for number, size in enumerate(sizes):
        parts.append(folder / f"p{number}")
        parts[-1].write_bytes(body[at : at + size])
        at += size
    whole = io.BytesIO(body)
    with SplitReader(parts) as reader:
        for _ in range(6):
            position, count = data.draw(st.integers(0, len(body) + 3)), data.draw(st.integers(-1, len(body) + 3))
            assert reader.seek(position) == whole.seek(position)
            assert reader.read(count) == whole.read(count)
            assert reader.tell() == whole.tell()
        assert reader.seek(-1 * min(3, len(body)), io.SEEK_END) == whole.seek(-1 * min(3, len(body)), io.SEEK_END)
        assert reader.read() == whole.read()
        with pytest.raises(ValueError, match="negative"):
            reader.seek(-1)


@pytest.mark.parametrize("as_parts", [True, False])
def test_unpacking_with_and_without_joining(tmp_path: Path, as_parts: bool) -> None:
    cut(zip64_archive(), tmp_path, 7)
    seen: list[tuple[int, int | None]] = []
    destination = tmp_path / "out"

    def note(done: int, total: int | None, what: str) -> None:
        seen.append((done, total))

    if as_parts:
        with SplitReader.find(tmp_path) as reader:
            report = unpack(reader, destination, progress=note)
    else:
        report = unpack(join_parts(tmp_path, tmp_path / "w.zip").target, destination, progress=note)
    assert tree(destination) == MEMBERS
    total = sum(map(len, MEMBERS.values()))
    assert (report.done, report.already_there, report.bad, report.bytes) == (tuple(MEMBERS), (), (), total)
    assert seen[-1] == (total, total)


def test_unpacking_again_skips_the_whole_and_replaces_the_different(tmp_path: Path) -> None:
    packed, destination = tmp_path / "a.zip", tmp_path / "out"
    packed.write_bytes(archive())
    unpack(packed, destination)
    names = list(MEMBERS)
    (destination / names[0]).write_bytes(MEMBERS[names[0]][:-1])
    (destination / names[1]).write_bytes(bytes(len(MEMBERS[names[1]])))
    kept = (destination / names[2]).stat().st_mtime_ns
    report = unpack(packed, destination)
    assert report.done == tuple(names[:2])
    assert report.already_there == tuple(names[2:])
    assert tree(destination) == MEMBERS
    assert (destination / names[2]).stat().st_mtime_ns == kept


def test_a_part_of_the_members(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive())
    report = unpack(tmp_path / "a.zip", tmp_path / "out", only=["GenImage/ADM/*"])
    assert report.done == tuple(name for name in MEMBERS if "ADM" in name)
    assert set(tree(tmp_path / "out")) == set(report.done)


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "C:/evil", "..\\evil", "a\\..\\..\\evil"])
def test_zip_slip_is_refused_and_the_rest_goes_on(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.zip").write_bytes(archive({name: b"x", "good": b"y"}))
    report = unpack(tmp_path / "a.zip", tmp_path / "in" / "out")
    assert report.done == ("good",)
    assert [bad for bad, _ in report.bad] == [name]
    assert "leads out" in report.bad[0][1]
    assert set(tree(tmp_path)) == {"a.zip", "in/out/good"}


def test_damaged_and_odd_members_are_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    packed = io.BytesIO()
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as writer, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of the double name
        writer.writestr("hurt", b"HURT" * 50)
        writer.writestr(link, b"/etc/passwd")
        writer.writestr("twice", b"one")
        writer.writestr("twice", b"two")
        writer.writestr("secret", b"secret")
        writer.writestr("folder", b"in the way")
        writer.writestr("folder/member", b"z")
        writer.writestr("good", b"good")
    whole = bytearray(packed.getvalue())
    whole[whole.index(b"HURT") + 9] ^= 1
    # The encryption flag of "secret", in both of its headers.
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = whole.rindex(mark, 0, whole.index(b"secret", whole.index(mark) if mark == b"PK\x01\x02" else 0))
        whole[at + flags] |= 1
    (tmp_path / "a.zip").write_bytes(whole)
    report = unpack(tmp_path / "a.zip", tmp_path / "out")
    assert report.done == ("twice", "folder", "good")
    reasons = [(name, reason) for name, reason in report.bad]
    assert [name for name, _ in reasons] == ["hurt", "link", "twice", "secret", "folder/member"]
    for (_, reason), words in zip(reasons, ["CRC", "link", "twice", "encrypted", "Error"], strict=True):
        assert words in reason
    assert tree(tmp_path / "out") == {"twice": b"one", "folder": b"in the way", "good": b"good"}


def test_bombs_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive({"bomb": bytes(3_000_000)}))
    with pytest.raises(FetchError, match="zip bomb"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    with pytest.raises(FetchError, match=r"more than is allowed.*<= 1000 bytes, got 3000000"):
        unpack(tmp_path / "a.zip", tmp_path / "out", limit_bytes=1000, largest_ratio=1e9)
    assert not (tmp_path / "out").exists()
    assert unpack(tmp_path / "a.zip", tmp_path / "out", largest_ratio=1e9).done == ("bomb",)


def test_a_member_that_lies_about_its_size_writes_no_more_than_it_said(tmp_path: Path) -> None:
    whole = bytearray(archive({"liar": bytes(200_000), "good": random.Random(2).randbytes(5000)}))
    at = whole.index(b"PK\x01\x02", whole.index(b"PK\x01\x02") + 4)  # the first entry is the folder
    whole[at + 24 : at + 28] = struct.pack("<L", 100)
    (tmp_path / "a.zip").write_bytes(whole)
    report = unpack(tmp_path / "a.zip", tmp_path / "out")
    assert report.done == ("good",)
    assert report.bad[0][0] == "liar"
    assert set(tree(tmp_path / "out")) == {"good"}


def test_too_little_room_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = cut(archive(), tmp_path, 2)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 0, 9))
    with pytest.raises(FetchError, match="no room for the joined file"):
        join_parts(parts[0], tmp_path / "whole.zip")
    with SplitReader(parts) as reader, pytest.raises(FetchError, match="no room for the members"):
        unpack(reader, tmp_path / "out")


def test_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"<html>")
    with pytest.raises(FetchError, match="no zip"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    with pytest.raises(BadSetting, match="no such archive"):
        unpack(tmp_path / "b.zip", tmp_path / "out")


def test_a_comment_that_looks_like_an_end_record(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as writer:
        writer.writestr("a", b"a" * 100)
        writer.comment = b"PK\x05\x06" + bytes(30)
    whole = packed.getvalue()
    directory = read_directory(io.BytesIO(whole), len(whole), "a.zip")
    assert (directory.members, directory.unpacked_bytes) == (1, 100)
    assert zlib.crc32(whole[directory.offset :][:4]) == zlib.crc32(b"PK\x01\x02")

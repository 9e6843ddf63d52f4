"""ImagiNet's FFHQ list: parsing, proof by pixels, pages instead of pictures."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fauxlens.core.errors import BadManifest, BadSetting, UnreadableImage
from fauxlens.manifest.fetch import ffhq
from fauxlens.manifest.fetch.ffhq import fetch_ffhq, pixel_md5, read_ffhq_list
from fauxlens.manifest.fetch.outcome import FetchReport
from fetch.server import Served, Server


def face(seed: int) -> tuple[bytes, str]:
    """(PNG bytes, pixel MD5)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 12, 3), dtype=np.uint8)
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "png")
    return packed.getvalue(), hashlib.md5(pixels.tobytes()).hexdigest()


def name(number: int) -> str:
    return f"0000000{number}-aaaa-bbbb-cccc-00000000000{number}.png"


def three_faces(server: Server, tmp_path: Path) -> tuple[Path, list[Served]]:
    lines, served = [], []
    for number in range(3):
        body, digest = face(number)
        served.append(server.serve(f"/d?id=Id_-{number}", body))
        lines.append(f"Id_-{number},{name(number)},{digest}\n")
    path = tmp_path / "list.txt"
    path.write_text("".join(lines))
    return path, served


def fetch(server: Server, path: Path, destination: Path, **options: object) -> FetchReport:
    template = server.url + "/d?id={id}"
    return fetch_ffhq(path, destination, url_template=template, pause=lambda seconds: None, **options)  # type: ignore[arg-type]


def test_bad_lines_are_told_by_number(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    good = f"abc,{name(1)},{'0' * 32}"
    lines = ["\ufeff" + good, "", "abc,../x.png," + "0" * 32, good, f"other,{name(1)},{'0' * 32}", "a,b", good + "0"]
    path.write_text("\r\n".join(lines), encoding="utf-8")
    listed = read_ffhq_list(path)
    assert [row.name for row in listed.faces] == [name(1)]
    assert [line.number for line in listed.bad_lines] == [3, 5, 6, 7]
    assert "earlier line" in listed.bad_lines[1].reason
    with pytest.raises(BadManifest, match="cannot be read"):
        read_ffhq_list(tmp_path / "none.txt")


def test_faces_come_and_are_kept(server: Server, tmp_path: Path) -> None:
    path, served = three_faces(server, tmp_path)
    seen: list[tuple[int, int | None]] = []
    report = fetch(server, path, tmp_path / "out", progress=lambda done, total, what: seen.append((done, total)))
    assert report.done == (name(0), name(1), name(2))
    assert report.failed == ()
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert (tmp_path / "out" / name(1)).read_bytes() == served[1].body
    # Another file with the same pixels is as good; one pixel off is not.
    with Image.open(tmp_path / "out" / name(0)) as opened:
        picture = opened.convert("RGB")
    picture.save(tmp_path / "out" / name(0), compress_level=0)
    picture.putpixel((0, 0), (1, 2, 3))
    picture.save(tmp_path / "out" / name(1))
    (tmp_path / "out" / name(2)).write_bytes(served[2].body[:-20])
    again = fetch(server, path, tmp_path / "out")
    assert again.already_there == (name(0),)
    assert again.done == (name(1), name(2))
    assert len(served[0].asked) == 1


def test_only_the_first(server: Server, tmp_path: Path) -> None:
    path, served = three_faces(server, tmp_path)
    assert fetch(server, path, tmp_path / "out", first=2).done == (name(0), name(1))
    assert served[2].asked == []


def test_wrong_pixels_cuts_and_pages_are_bounded_and_reported(server: Server, tmp_path: Path) -> None:
    path, served = three_faces(server, tmp_path)
    served[0].body = face(9)[0]
    served[1].cuts = [10, 100]
    served[2].body, served[2].kind = b"<!doctype html><title>Quota exceeded</title>", "text/html"
    with path.open("a") as lines:
        lines.write("rubbish\n")
    report = fetch(server, path, tmp_path / "out")
    assert report.done == (name(1),)
    reasons = dict(report.failed)
    assert "wrong MD5" in reasons[name(0)]
    assert len(served[0].asked) == 2
    assert 'titled "Quota exceeded" (it speaks of a quota)' in reasons[name(2)]
    assert len(served[2].asked) == 1
    assert "rubbish" in reasons["line 4"]
    assert [place.name for place in (tmp_path / "out").iterdir()] == [name(1)]


def test_a_page_under_a_pictures_type_is_recognised(server: Server, tmp_path: Path) -> None:
    path, served = three_faces(server, tmp_path)
    served[0].body, served[0].kind = b"\n<html><title>Sign in</title>", "image/png"
    report = fetch(server, path, tmp_path / "out", first=1)
    assert 'web page came instead of the picture, titled "Sign in"' in report.failed[0][1]


def test_page_after_page_ends_the_asking(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffhq, "PAGES_BEFORE_STOPPING", 2)
    path, served = three_faces(server, tmp_path)
    for each in served:
        each.kind = "text/html"
    report = fetch(server, path, tmp_path / "out")
    assert len(report.failed) == 3
    assert "not tried" in report.failed[2][1]
    assert served[2].asked == []


def test_pixel_digests(tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    Image.new("L", (3, 2), 7).save(grey)
    assert pixel_md5(grey) == hashlib.md5(bytes([7]) * 18).hexdigest()
    Image.new("RGB", (3, 2)).save(tmp_path / "photo.jpg")
    with pytest.raises(UnreadableImage, match="no whole PNG"):
        pixel_md5(tmp_path / "photo.jpg")
    Image.new("1", (9000, 9000)).save(tmp_path / "big.png")
    with pytest.raises(UnreadableImage, match="far larger"):
        pixel_md5(tmp_path / "big.png")


def test_settings_that_cannot_be_meant(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="place for the file's id"):
        fetch_ffhq(tmp_path / "l", tmp_path, url_template="http://host/")
    with pytest.raises(BadSetting, match="fewer than no"):
        fetch_ffhq(tmp_path / "l", tmp_path, first=-1)

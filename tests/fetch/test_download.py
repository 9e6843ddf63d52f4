"""One file over HTTP: whatever the line does, the file is whole or absent."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import socket
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fauxlens.core.errors import BadSetting, FetchError
from fauxlens.manifest.fetch.download import Remote, WebPage, fetch_file, read_answer
from fauxlens.manifest.fetch.places import inside
from fetch.server import Served, Server

BODY = random.Random(5).randbytes(300_000)
MD5 = hashlib.md5(BODY).hexdigest()
SHA256 = hashlib.sha256(BODY).hexdigest()


def no_pause(seconds: float) -> None:
    assert seconds > 0


def remote(server: Server, **facts: object) -> Remote:
    known = {"size": len(BODY), "md5": MD5} | facts
    return Remote(f"{server.url}/f", "f.bin", **known)  # type: ignore[arg-type]


def fetch(of: Remote, target: Path, **options: object) -> object:
    return fetch_file(of, target, pause=no_pause, timeout_seconds=5, **options)  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_whole_and_leaves_nothing_beside_it(server: Server, tmp_path: Path) -> None:
    server.serve("/f", BODY)
    seen: list[tuple[int, int | None]] = []
    result = fetch_file(
        remote(server, sha256=SHA256.upper()),
        tmp_path / "deep" / "f.bin",
        progress=lambda done, total, what: seen.append((done, total)),
    )
    assert (tmp_path / "deep" / "f.bin").read_bytes() == BODY
    assert (result.status, result.bytes, result.attempts, result.received) == ("done", len(BODY), 1, len(BODY))
    assert names(tmp_path / "deep") == ["f.bin"]
    assert seen[0] == (0, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))
    assert seen == sorted(seen)


def test_cuts_are_resumed_without_asking_twice_for_a_byte(server: Server, tmp_path: Path) -> None:
    served = server.serve("/f", BODY, cuts=[1000, 0, 200_000])
    result = fetch(remote(server), tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == BODY
    assert result.attempts == 4
    assert result.received == len(BODY)
    assert [asked for _, asked in served.asked] == [None, "bytes=1000-", "bytes=1000-", "bytes=201000-"]


def test_giving_up_keeps_the_part_and_a_later_call_goes_on(server: Server, tmp_path: Path) -> None:
    served = server.serve("/f", BODY, cuts=[50_000, 50_000])
    with pytest.raises(FetchError, match=r"gave up after 2 attempts.*100000 of 300000.*resumed"):
        fetch(remote(server), tmp_path / "f.bin", attempts=2)
    assert names(tmp_path) == ["f.bin.part", "f.bin.part.json"]
    assert (tmp_path / "f.bin.part").read_bytes() == BODY[:100_000]
    result = fetch(remote(server), tmp_path / "f.bin", attempts=1)
    assert result.received == 200_000
    assert served.asked[-1] == ("GET", "bytes=100000-")
    assert names(tmp_path) == ["f.bin"]


def test_a_server_without_ranges_starts_from_zero(server: Server, tmp_path: Path) -> None:
    server.serve("/f", BODY, cuts=[1000, 2000], honours_range=False)
    result = fetch(remote(server, md5=None), tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == BODY
    assert result.received == 1000 + 2000 + len(BODY)


@pytest.mark.parametrize("honours_if_range", [True, False])
@pytest.mark.parametrize("digest", [None, "new"])
def test_a_changed_file_is_never_spliced(
    server: Server, tmp_path: Path, honours_if_range: bool, digest: str | None
) -> None:
    newer = BODY[::-1]

    def change(served: Served) -> None:
        if len(served.asked) == 2:
            served.body = newer

    server.serve("/f", BODY, cuts=[1000], on_request=change, honours_if_range=honours_if_range)
    fetch(remote(server, md5=digest and hashlib.md5(newer).hexdigest()), tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == newer


def test_without_validator_and_digest_nothing_is_built_upon(server: Server, tmp_path: Path) -> None:
    served = server.serve("/f", BODY, cuts=[1000], has_etag=False)
    fetch(remote(server, md5=None), tmp_path / "f.bin")
    assert [asked for _, asked in served.asked] == [None, None]
    assert (tmp_path / "f.bin").read_bytes() == BODY


def test_without_validator_the_digest_finds_the_splice(server: Server, tmp_path: Path) -> None:
    newer = BODY[::-1]

    def change(served: Served) -> None:
        if len(served.asked) == 2:
            served.body = newer

    server.serve("/f", BODY, cuts=[1000], has_etag=False, on_request=change)
    result = fetch(remote(server, md5=hashlib.md5(newer).hexdigest()), tmp_path / "f.bin")
    assert result.attempts == 3
    assert (tmp_path / "f.bin").read_bytes() == newer


def test_a_wrong_digest_is_fetched_once_more_and_then_said(server: Server, tmp_path: Path) -> None:
    served = server.serve("/f", BODY)
    wrong = "0" * 32
    with pytest.raises(FetchError, match=f"wrong md5.*wanted {wrong}, got {MD5}.*Next: ") as caught:
        fetch(remote(server, md5=wrong), tmp_path / "f.bin")
    assert (caught.value.wanted, caught.value.got) == (wrong, MD5)
    assert len(served.asked) == 2
    assert names(tmp_path) == []


@pytest.mark.parametrize(("status", "words"), [(404, "no such file"), (403, "refuses"), (401, "login"), (418, "418")])
def test_refusals_are_final(server: Server, tmp_path: Path, status: int, words: str) -> None:
    served = server.serve("/f", BODY, statuses=[status])
    with pytest.raises(FetchError, match=words):
        fetch(remote(server), tmp_path / "f.bin")
    assert len(served.asked) == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("retry_after", "low", "high"),
    [("7", 7, 7), ("99999", 300, 300), ("rubbish", 1, 1), ("Fri, 01 Jan 2100 00:00:00 GMT", 300, 300), (None, 1, 1)],
)
def test_busy_servers_are_given_the_time_they_ask_for(
    server: Server, tmp_path: Path, retry_after: str | None, low: float, high: float
) -> None:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    server.serve("/f", BODY, statuses=[503], answer_headers=headers)
    waits: list[float] = []
    fetch_file(remote(server), tmp_path / "f.bin", pause=waits.append)
    assert len(waits) == 1
    assert low <= waits[0] <= high
    assert (tmp_path / "f.bin").read_bytes() == BODY


def test_pauses_grow_and_end(server: Server, tmp_path: Path) -> None:
    server.serve("/f", BODY, statuses=[500, 429, 502, 504, 500, 500, 500, 500, 500])
    waits: list[float] = []
    with pytest.raises(FetchError, match="gave up after 9 attempts: the server answered 500"):
        fetch_file(remote(server), tmp_path / "f.bin", attempts=9, pause=waits.append)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_truncated_content_length_is_no_success(server: Server, tmp_path: Path) -> None:
    server.serve("/f", BODY, announces=1234)
    with pytest.raises(FetchError, match=r"another size.*wanted 300000 bytes, got 1234 bytes"):
        fetch(remote(server), tmp_path / "f.bin")
    with pytest.raises(FetchError, match="wrong md5"):
        fetch(remote(server, size=None), tmp_path / "f.bin")
    assert names(tmp_path) == []


def test_a_file_already_there_is_believed_only_when_it_proves_right(server: Server, tmp_path: Path) -> None:
    served = server.serve("/f", BODY)
    target = tmp_path / "f.bin"
    target.write_bytes(BODY)
    assert fetch(remote(server), target).status == "already there"
    assert served.asked == []
    for impostor in (BODY[:1000], b"", BODY[:-1] + b"?"):
        target.write_bytes(impostor)
        assert fetch(remote(server), target).status == "done"
        assert target.read_bytes() == BODY


def test_a_wrong_file_stays_until_the_right_one_is_proved(server: Server, tmp_path: Path) -> None:
    server.serve("/f", BODY, statuses=[404])
    target = tmp_path / "f.bin"
    target.write_bytes(b"mine")
    with pytest.raises(FetchError):
        fetch(remote(server), target)
    assert target.read_bytes() == b"mine"


def test_with_nothing_published_the_servers_size_decides(server: Server, tmp_path: Path) -> None:
    served = server.serve("/f", BODY)
    target = tmp_path / "f.bin"
    target.write_bytes(BODY)
    unknown = remote(server, size=None, md5=None)
    assert fetch(unknown, target).status == "already there"
    target.write_bytes(BODY[:-1])
    assert fetch(unknown, target).status == "done"
    assert [method for method, _ in served.asked] == ["HEAD", "HEAD", "GET"]
    assert target.read_bytes() == BODY


def test_a_part_longer_than_the_file_or_exactly_whole(server: Server, tmp_path: Path) -> None:
    served = server.serve("/f", BODY, cuts=[1000])
    unsized = remote(server, size=None)
    with pytest.raises(FetchError):
        fetch(unsized, tmp_path / "f.bin", attempts=1)
    part, note = tmp_path / "f.bin.part", tmp_path / "f.bin.part.json"
    forged = json.loads(note.read_text()) | {"total": None}
    part.write_bytes(BODY)
    note.write_text(json.dumps(forged))
    result = fetch(unsized, tmp_path / "f.bin")  # 416 with the same total: the part was whole
    assert served.asked[-1][1] == f"bytes={len(BODY)}-"
    assert result.received == 0
    (tmp_path / "f.bin").unlink()
    part.write_bytes(BODY + b"more")
    note.write_text(json.dumps(forged))
    fetch(unsized, tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == BODY


def test_a_strangers_part_is_not_built_upon(server: Server, tmp_path: Path) -> None:
    served = server.serve("/f", BODY)
    (tmp_path / "f.bin.part").write_bytes(b"stranger")
    (tmp_path / "f.bin.part.json").write_text('{"url": "http://elsewhere/", "total": "x"}')
    fetch(remote(server, md5=None), tmp_path / "f.bin")
    assert served.asked == [("GET", None)]
    assert (tmp_path / "f.bin").read_bytes() == BODY


def test_a_part_that_another_process_cut_short_is_not_renamed(server: Server, tmp_path: Path) -> None:
    server.serve("/f", BODY)
    part, meddled = tmp_path / "f.bin.part", []

    def meddle(done: int, total: int | None, what: str) -> None:
        if done == total and not meddled:
            meddled.append(part.write_bytes(BODY[:7]))

    result = fetch(remote(server, size=None, md5=None), tmp_path / "f.bin", progress=meddle)
    assert meddled
    assert result.attempts == 2
    assert (tmp_path / "f.bin").read_bytes() == BODY


def test_a_wrong_piece_is_refused(server: Server, tmp_path: Path) -> None:
    server.serve("/f", BODY, cuts=[1000], sends_wrong_range=True)
    fetch(remote(server, md5=None), tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == BODY


def test_chunked_answers_and_answers_of_unknown_length(server: Server, tmp_path: Path) -> None:
    server.serve("/f", BODY, chunked=True, cuts=[70_000])
    fetch(remote(server, md5=None, size=None), tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == BODY
    server.serve("/f", BODY, says_length=False)
    with pytest.raises(FetchError, match="how long the file is"):
        fetch(remote(server, md5=None, size=None), tmp_path / "g.bin")
    fetch(remote(server, size=None), tmp_path / "g.bin")
    assert (tmp_path / "g.bin").read_bytes() == BODY


def test_more_bytes_than_published(server: Server, tmp_path: Path) -> None:
    server.serve("/f", BODY + b"tail", chunked=True)
    with pytest.raises(FetchError, match="more bytes came"):
        fetch(remote(server), tmp_path / "f.bin")
    assert names(tmp_path) == []


def test_an_empty_file(server: Server, tmp_path: Path) -> None:
    server.serve("/f", b"")
    result = fetch(remote(server, size=0, md5=hashlib.md5(b"").hexdigest()), tmp_path / "f.bin")
    assert result.bytes == 0
    assert (tmp_path / "f.bin").read_bytes() == b""


def test_a_web_page_is_recognised(server: Server, tmp_path: Path) -> None:
    page = b"<html><title>Drive - Quota &amp; more</title>quota exceeded</html>"
    served = server.serve("/f", page, kind="text/html; charset=utf-8")
    with pytest.raises(WebPage, match=r'web page came.*"Drive - Quota & more" \(it speaks of a quota\)'):
        fetch(remote(server, size=None, md5=None), tmp_path / "f.bin")
    assert len(served.asked) == 1
    assert names(tmp_path) == []


def test_time_outs_and_closed_doors_are_tried_again(tmp_path: Path, server: Server) -> None:
    with socket.socket() as silent_socket:
        silent_socket.bind(("127.0.0.1", 0))
        silent_socket.listen()
        address = f"http://127.0.0.1:{silent_socket.getsockname()[1]}/f"
        with pytest.raises(FetchError, match="2 attempts: the server did not answer in time"):
            fetch_file(Remote(address, "f"), tmp_path / "f", attempts=2, timeout_seconds=0.2, pause=no_pause)
    with pytest.raises(FetchError, match="2 attempts: the connection failed"):
        fetch_file(Remote(address, "f"), tmp_path / "f", attempts=2, timeout_seconds=0.2, pause=no_pause)


def test_a_full_disk_is_said_and_the_part_kept(server: Server, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="file size limits are set the POSIX way")
    served = server.serve("/f", BODY)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(FetchError, match=r"disk or the quota is full.*Next: make room"):
            fetch(remote(server), tmp_path / "f.bin")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(served.asked) == 1
    kept = (tmp_path / "f.bin.part").stat().st_size
    assert 0 < kept <= 100_000
    result = fetch(remote(server), tmp_path / "f.bin")
    assert result.received == len(BODY) - kept
    assert (tmp_path / "f.bin").read_bytes() == BODY


def test_too_little_room_is_said_before_the_body_comes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/f", BODY)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 5, 5))
    with pytest.raises(FetchError, match=r"no room.*wanted 300000 more bytes, got 5 free"):
        fetch(remote(server), tmp_path / "f.bin")


def test_redirects_are_followed_to_http_only(server: Server, tmp_path: Path) -> None:
    server.serve("/f", b"", location=f"{server.url}/g")
    server.serve("/g", BODY, cuts=[10])
    fetch(remote(server), tmp_path / "f.bin")
    assert (tmp_path / "f.bin").read_bytes() == BODY
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    for place in (secret.as_uri(), "ftp://127.0.0.1/f"):
        server.serve("/f", b"", location=place)
        with pytest.raises(FetchError):
            fetch(remote(server, size=None, md5=None), tmp_path / "out.bin")
        assert not (tmp_path / "out.bin").exists()


def test_re_encoded_answers_are_refused(server: Server, tmp_path: Path) -> None:
    server.serve("/f", BODY, answer_headers={"Content-Encoding": "gzip"})
    with pytest.raises(FetchError, match="re-encodes"):
        fetch(remote(server), tmp_path / "f.bin")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/f", "data:,x", "/etc/passwd", ""])
def test_only_http_addresses(url: str) -> None:
    with pytest.raises(FetchError, match="only http and https"):
        Remote(url, "f")


def test_facts_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="no md5"):
        Remote("http://host/f", "f", md5="123")
    with pytest.raises(FetchError, match="negative"):
        Remote("http://host/f", "f", size=-1)
    with pytest.raises(BadSetting, match="at least one attempt"):
        fetch_file(Remote("http://host/f", "f"), tmp_path / "f", attempts=0)
    (tmp_path / "folder").mkdir()
    with pytest.raises(FetchError, match="a folder lies"):
        fetch_file(Remote("http://host/f", "f"), tmp_path / "folder")


def test_a_proof_of_the_callers_own(server: Server, tmp_path: Path) -> None:
    served = server.serve("/f", BODY)
    unknown = remote(server, size=None, md5=None)
    with pytest.raises(FetchError, match="not my taste"):
        fetch(unknown, tmp_path / "f.bin", verify=lambda path: "not my taste")
    assert len(served.asked) == 2
    right: Callable[[Path], str | None] = lambda path: None if path.read_bytes() == BODY else "no"  # noqa: E731
    assert fetch(unknown, tmp_path / "f.bin", verify=right).status == "done"
    assert fetch(unknown, tmp_path / "f.bin", verify=right).status == "already there"


def test_answers_in_memory(server: Server) -> None:
    served = server.serve("/f", b'{"a": 1}', statuses=[503], cuts=[3])
    assert read_answer(f"{server.url}/f", what="record", pause=no_pause) == b'{"a": 1}'
    assert len(served.asked) == 3
    with pytest.raises(FetchError, match="too long"):
        read_answer(f"{server.url}/f", what="record", limit_bytes=4, pause=no_pause)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, 5000), max_size=5),
    honours_range=st.booleans(),
    has_etag=st.booleans(),
    has_digest=st.booleans(),
    changes_at=st.integers(0, 6),
    attempts=st.integers(1, 4),
)
def test_after_any_sequence_of_cuts_the_file_is_whole_or_absent(
    server: Server,
    tmp_path_factory: pytest.TempPathFactory,
    cuts: list[int],
    honours_range: bool,
    has_etag: bool,
    has_digest: bool,
    changes_at: int,
    attempts: int,
) -> None:
    older, newer = BODY[:5000], BODY[5000:10000]
    versions = {older, newer}

    def change(served: Served) -> None:
        if len(served.asked) == changes_at:
            served.body = newer

    server.serve("/f", older, cuts=list(cuts), honours_range=honours_range, has_etag=has_etag, on_request=change)
    if has_digest:
        versions = {newer}
    of = remote(server, size=5000, md5=hashlib.md5(newer).hexdigest() if has_digest else None)
    target = tmp_path_factory.mktemp("cuts") / "f.bin"
    for _ in range(2):
        try:
            fetch(of, target, attempts=attempts)
        except FetchError:
            assert not target.exists()
        else:
            assert target.read_bytes() in versions


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../x",
        "/etc/x",
        "\\x",
        "C:\\x",
        "a/C:x",
        "..\\x",
        "",
        ".",
        "a//b",
        "a/",
        "x\0y",
        "x\ny",
        "a/nul.txt",
        "~/../..",
    ],
)
def test_names_that_lead_out_are_refused(name: str) -> None:
    with pytest.raises(FetchError, match="leads out of the destination"):
        inside(Path("out"), name)


@given(st.text(max_size=30))
def test_accepted_names_stay_inside(name: str) -> None:
    root = Path("/srv/out")
    try:
        place = inside(root, name)
    except FetchError:
        return
    assert place.is_relative_to(root)
    assert place != root
    assert ".." not in place.parts

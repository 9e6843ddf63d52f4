"""Verify: every sort of broken file is found by name, kills change nothing, counts and leaks are told."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import broken
import toy
from fauxlens.core.errors import BadManifest, BadSetting, WorkError
from fauxlens.manifest.manifest import Manifest, read_manifest
from fauxlens.manifest.scan import scan, survey
from fauxlens.manifest.schema import LISTED
from fauxlens.manifest.verify import REASONS, report_of, verify
from fauxlens.work import status

RESULTS = ("manifest.parquet", "quarantine.csv", "duplicates.csv", "leaks.csv", "counts.csv")


def statuses(manifest: Manifest) -> dict[str, str]:
    return {s.path: s.status for s in manifest}


def good_set(root: Path, count: int = 6) -> Path:
    for label in ("real", "fake"):
        (root / label).mkdir(parents=True)
    for n in range(count):
        (root / "real" / f"{n}.jpg").write_bytes(broken.jpeg(n))
        (root / "fake" / f"{n}.png").write_bytes(broken.png(100 + n))
    return root


def test_every_sort_of_broken_file_is_quarantined_by_name(tmp_path):
    root = good_set(tmp_path / "set")
    wanted = broken.write_broken(root / "real" / "broken")
    found = verify(scan(root), tmp_path / "out")
    told = statuses(found.manifest)
    for name, reason in wanted.items():
        assert told[f"real/broken/{name}"].partition(":")[0] == reason
    assert sum(status == "ok" for status in told.values()) == 12
    assert found.quarantined == len(wanted)
    with (tmp_path / "out" / "quarantine.csv").open(newline="") as stream:
        listed = {row["path"]: row["reason"] for row in csv.DictReader(stream)}
    assert listed == {path: status for path, status in told.items() if status != "ok"}
    assert set(found.reasons) <= set(REASONS)
    # The list that verify writes is one that scan honours.
    again = survey(root, quarantine=tmp_path / "out" / "quarantine.csv").manifest
    assert {p for p, s in statuses(again).items() if s != "ok"} == set(listed)


def test_what_only_reading_can_tell_is_filled_in(tmp_path):
    root = good_set(tmp_path / "set")
    (root / "real" / "copy.jpg").write_bytes((root / "real" / "0.jpg").read_bytes())
    found = verify(scan(root), tmp_path / "out")
    rows = {s.path: s for s in found.manifest}
    assert rows["real/copy.jpg"].sha256 == rows["real/0.jpg"].sha256
    assert rows["real/1.jpg"].phash is not None
    assert [[found.manifest[row].path for row in group] for group in found.exact] == [["real/0.jpg", "real/copy.jpg"]]
    assert read_manifest(tmp_path / "out" / "manifest.parquet").equals(found.manifest)


def test_masks_are_checked(tmp_path):
    root = tmp_path / "set"
    (root / "Tp").mkdir(parents=True)
    (root / "Gt").mkdir()
    rows = []

    def mask(name: str, value: int, shape: tuple[int, int] = (40, 56)) -> None:
        Image.fromarray(np.full(shape, value, np.uint8)).save(root / "Gt" / name)

    mask("good.png", 255)
    mask("empty.png", 0)
    mask("small.png", 255, (20, 28))
    (root / "Gt" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for name in ("good", "empty", "small", "bad", "none"):
        (root / "Tp" / f"{name}.jpg").write_bytes(broken.jpeg(len(rows)))
        rows.append(_row(f"Tp/{name}.jpg", f"Gt/{name}.png"))
    found = verify(Manifest.from_samples(rows, root), tmp_path / "out")
    told = {path: status.partition(":")[0] for path, status in statuses(found.manifest).items()}
    assert told == {
        "Tp/good.jpg": "ok",
        "Tp/empty.jpg": "empty-mask",
        "Tp/small.jpg": "mask-size",
        "Tp/bad.jpg": "bad-mask",
        "Tp/none.jpg": "bad-mask",
    }


def _row(path: str, mask_path: str):
    from fauxlens.manifest.sample import Sample

    return Sample(id=path, path=path, label="edited", mask_path=mask_path)


def test_a_file_that_was_replaced_or_removed_after_the_scan(tmp_path):
    root = good_set(tmp_path / "set")
    manifest = scan(root)
    (root / "real" / "1.jpg").write_bytes(broken.jpeg(1, height=16, width=16))
    (root / "real" / "2.jpg").unlink()
    told = statuses(verify(manifest, tmp_path / "out").manifest)
    assert told["real/1.jpg"] == "changed: width is 16, the manifest says 56"
    assert told["real/2.jpg"].startswith("missing:")


def test_a_reason_of_the_owners_is_kept_and_a_mended_file_comes_back(tmp_path):
    root = good_set(tmp_path / "set")
    rows = list(scan(root))
    marked = {"real/0.jpg": "listed by the owners as corrupted", "real/1.jpg": "empty: zero bytes"}
    manifest = Manifest.from_samples([replace(s, status=marked.get(s.path, s.status)) for s in rows], root)
    told = statuses(verify(manifest, tmp_path / "out").manifest)
    assert told["real/0.jpg"] == "listed by the owners as corrupted"
    assert told["real/1.jpg"] == "ok"


def test_published_counts_stand_beside_what_was_found(tmp_path):
    toy.genimage(tmp_path / "set")
    manifest = scan(tmp_path / "set")
    found = verify(manifest, tmp_path / "out")
    assert found.counts
    for counted in found.counts:
        rows = [s for s in manifest if all(getattr(s, k) == v for k, v in counted.where.items())]
        assert counted.found == len(rows) > 0
    assert all(c.published > c.found >= c.usable for c in found.counts)
    report = report_of(found)
    table = next(t for t in report.tables() if t.name == "counts")
    assert len(table.rows) == len(found.counts)


def test_leaks_reach_the_verdict(tmp_path):
    root = good_set(tmp_path / "set")
    rows = [replace(s, split="train" if n % 2 else "test", origin="one") for n, s in enumerate(scan(root))]
    found = verify(Manifest.from_samples(rows, root), tmp_path / "out")
    assert [leak.kind for leak in found.leaks] == ["origin"]
    assert "1 group of pictures lies in more than one split" in report_of(found).verdict


def test_other_settings_need_another_folder(tmp_path):
    root = good_set(tmp_path / "set")
    manifest = scan(root)
    verify(manifest, tmp_path / "out")
    with pytest.raises(WorkError, match="settings"):
        verify(manifest, tmp_path / "out", accept=("wrong-suffix",))
    with pytest.raises(BadSetting, match="cannot be accepted"):
        verify(manifest, tmp_path / "out2", accept=("truncated",))


def test_a_second_run_reads_again_what_has_changed_since(tmp_path):
    root = good_set(tmp_path / "set")
    manifest = scan(root)
    assert verify(manifest, tmp_path / "out").from_earlier_run == 0
    (root / "real" / "0.jpg").write_bytes(b"")
    (root / "fake" / "1.png").unlink()
    second = verify(manifest, tmp_path / "out")
    assert second.from_earlier_run == 10
    told = statuses(second.manifest)
    assert told["real/0.jpg"].startswith("empty")
    assert told["fake/1.png"].startswith("missing")
    # Mended files come back, and the result is that of a first run.
    (root / "real" / "0.jpg").write_bytes(broken.jpeg(0))
    (root / "fake" / "1.png").write_bytes(broken.png(101))
    third = verify(manifest, tmp_path / "out")
    assert third.quarantined == 0
    verify(manifest, tmp_path / "first")
    assert results_of(tmp_path / "out") == results_of(tmp_path / "first")
    assert verify(manifest, tmp_path / "out", fresh=True).from_earlier_run == 0


def test_a_file_of_the_same_size_with_other_bytes_is_changed(tmp_path):
    root = good_set(tmp_path / "set")
    plain, hashed = scan(root), survey(root, hash_files=True).manifest
    (root / "real" / "2.jpg").write_bytes(broken.jpeg(2, quality=50))
    assert statuses(verify(plain, tmp_path / "a").manifest)["real/2.jpg"].startswith("changed: bytes is")
    data = bytearray((root / "real" / "3.jpg").read_bytes())
    data[-3] ^= 1  # the last byte of the picture data: same length, still a JPEG
    (root / "real" / "3.jpg").write_bytes(bytes(data))
    assert statuses(verify(plain, tmp_path / "b").manifest)["real/3.jpg"] == "ok"
    assert statuses(verify(hashed, tmp_path / "c").manifest)["real/3.jpg"].startswith("changed: sha256 is")


def test_a_dataset_that_was_moved_is_said_to_be(tmp_path):
    root = good_set(tmp_path / "set")
    manifest = scan(root)
    root.rename(tmp_path / "elsewhere")
    with pytest.raises(BadManifest, match=r"root of this manifest is not there.*--root"):
        verify(manifest, tmp_path / "out")
    root.mkdir()
    with pytest.raises(BadManifest, match="holds none of the 12 files"):
        verify(manifest, tmp_path / "out")


@pytest.mark.parametrize("name", sorted(toy.TREES))
def test_every_layout_verifies(tmp_path, name):
    root = tmp_path / name
    root.mkdir()
    toy.TREES[name].draw(root)
    found = verify(scan(root), tmp_path / "out")
    assert found.quarantined == 0, found.reasons
    assert {s.status for s in found.manifest} <= {"ok", LISTED}
    verdict = report_of(found).verdict
    listed = sum(s.status == LISTED for s in found.manifest)
    assert ("known from a published list alone" in verdict) == bool(listed)
    assert ("None of the files is here" in verdict) == (listed == len(found.manifest))


def test_an_empty_manifest(tmp_path):
    found = verify(Manifest.from_samples([], tmp_path), tmp_path / "out")
    assert len(found.manifest) == found.quarantined == 0
    assert report_of(found).verdict


@pytest.fixture(scope="module")
def two_thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 small files, one in forty broken, with their manifest."""
    root = tmp_path_factory.mktemp("many") / "set"
    (root / "real").mkdir(parents=True)
    (root / "fake").mkdir()
    files = [broken.jpeg(seed) for seed in range(60)]
    rng = random.Random(0)
    for n in range(1950):
        label = "real" if n % 2 else "fake"
        # A comment makes the bytes of each file its own.
        note = f"{n}".encode()
        data = files[n % 60]
        comment = b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note
        (root / label / f"{n:04}.jpg").write_bytes(data[:2] + comment + data[2:])
    for k in range(50):
        data = files[k % 60]
        cut = data[: rng.randrange(len(data))]
        (root / "real" / f"broken-{k:02}.jpg").write_bytes(cut)
    scan(root).save(root.parent / "m.parquet")
    return root.parent / "m.parquet"


def results_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in RESULTS}


def _command(manifest: Path, folder: Path, workers: int) -> list[str]:
    code = (
        "import sys; from pathlib import Path; from fauxlens.manifest.manifest import read_manifest;"
        "from fauxlens.manifest.verify import verify;"
        "verify(read_manifest(sys.argv[1]), Path(sys.argv[2]), workers=int(sys.argv[3]))"
    )
    return [sys.executable, "-c", code, str(manifest), str(folder), str(workers)]


@pytest.fixture(scope="module")
def undisturbed(two_thousand: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed") / "out"
    subprocess.run(_command(two_thousand, folder, 2), check=True)
    return results_of(folder)


def _written(folder: Path) -> int:
    """Bytes of results so far: grows by one line a file, and can be asked as often as one likes."""
    return sum(path.stat().st_size for path in (folder / "work" / "shards").glob("*.jsonl"))


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL for a process group on Windows")
@pytest.mark.parametrize("workers", [1, 2])
def test_kill_9_at_random_moments_changes_no_byte(two_thousand, undisturbed, tmp_path, workers):
    folder = tmp_path / "out"
    rng = random.Random(workers)
    kills = 0
    # Each kill waits until the work has gone on by a random amount, however long starting takes on a loaded machine.
    while kills < 6:
        enough = _written(folder) + rng.randint(1, 60_000)
        process = subprocess.Popen(_command(two_thousand, folder, workers), start_new_session=True)
        while process.poll() is None and _written(folder) < enough:
            time.sleep(0.002)
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        found = status(folder / "work")
        assert 0 < found.done < found.total, "killed in the middle of the work"
    assert kills >= 3
    subprocess.run(_command(two_thousand, folder, workers), check=True)
    assert results_of(folder) == undisturbed


def test_one_worker_and_two_give_the_same_bytes(two_thousand, undisturbed, tmp_path):
    started = time.monotonic()
    verified = verify(read_manifest(two_thousand), tmp_path / "out", workers=1)
    assert time.monotonic() - started < 240
    assert results_of(tmp_path / "out") == undisturbed
    assert verified.quarantined == 50

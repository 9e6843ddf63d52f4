"""A degraded copy of a dataset: paired by id, masks along, the same bytes for any number of workers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import broken
from fauxlens.core.errors import BadSetting
from fauxlens.core.seeds import seed_for
from fauxlens.images.degrade import parse_chain, read_chain
from fauxlens.images.picture import read_picture
from fauxlens.manifest.degrade import degrade
from fauxlens.manifest.manifest import Manifest, read_manifest
from fauxlens.manifest.sample import Sample
from fauxlens.manifest.scan import scan

CHAIN = parse_chain("crop:side=24,place=random | flip:direction=horizontal | jpeg:quality=50-90")


@pytest.fixture
def dataset(tmp_path):
    root = tmp_path / "set"
    for name in ("Tp", "Gt", "real"):
        (root / name).mkdir(parents=True)
    rows = []
    for n in range(5):
        pixels = broken.pixels(n)
        mask = np.zeros(pixels.shape[:2], np.uint8)
        mask[10:30, 8 * n : 8 * n + 12] = 255
        # The picture carries its mask in plain sight, so that both can be compared after any geometry.
        pixels = np.where(mask[..., None] > 0, np.uint8(255), pixels // 3).astype(np.uint8)
        Image.fromarray(pixels).save(root / "Tp" / f"{n}.png")
        Image.fromarray(mask).save(root / "Gt" / f"{n}.png")
        rows.append(Sample(id=f"t{n}", path=f"Tp/{n}.png", label="edited", mask_path=f"Gt/{n}.png", origin=f"r{n}"))
        (root / "real" / f"{n}.jpg").write_bytes(broken.jpeg(50 + n))
        rows.append(Sample(id=f"r{n}", path=f"real/{n}.jpg", label="real", origin=f"r{n}"))
    return Manifest.from_samples(rows, root, name="toy")


def test_rows_keep_their_ids_and_facts_are_those_of_the_new_files(dataset, tmp_path):
    made = degrade(dataset, tmp_path / "out", CHAIN, name="mine", seed=4)
    assert [s.id for s in made] == [s.id for s in dataset]
    assert [s.origin for s in made] == [s.origin for s in dataset]
    for sample in made:
        assert (sample.width, sample.height, sample.format, sample.status) == (24, 24, "jpeg", "ok")
        assert 50 <= sample.jpeg_quality <= 90
        assert sample.bytes == made.path_of(sample).stat().st_size
        assert len(sample.sha256) == 64
    assert {s.path for s in scan_paths(tmp_path / "out" / "images")} == {f"{s.path[7:]}" for s in made}
    assert "degraded by 'mine'" in made.history[-1]
    assert read_manifest(tmp_path / "out" / "manifest.parquet").equals(made)


def scan_paths(folder):
    return [
        Sample(id="", path=p.relative_to(folder).as_posix(), label="real") for p in folder.rglob("*") if p.is_file()
    ]


def test_masks_follow_their_pictures(dataset, tmp_path):
    made = degrade(
        dataset, tmp_path / "out", parse_chain("crop:side=24,place=random | flip | rotate:degrees=90"), seed=1
    )
    masked = [s for s in made if s.mask_path is not None]
    assert len(masked) == 5
    for sample in masked:
        picture = read_picture(made.path_of(sample)).pixels
        mask = np.asarray(Image.open(made.mask_path_of(sample)))
        assert np.array_equal(mask > 127, (picture == 255).all(axis=-1))


def test_each_picture_is_degraded_by_its_own_id_and_the_seed(dataset, tmp_path):
    made = degrade(dataset, tmp_path / "out", CHAIN, seed=4)
    for sample in made:
        original = next(s for s in dataset if s.id == sample.id)
        seed = seed_for("degrade", image_id=sample.id, method="4")
        wanted = CHAIN.encode(read_picture(dataset.path_of(original)).pixels, seed)[0]
        assert made.path_of(sample).read_bytes() == wanted


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_and_order_change_nothing(dataset, tmp_path, workers):
    first = degrade(dataset, tmp_path / "a", CHAIN, workers=workers)
    turned = dataset.take("reversed", list(range(len(dataset) - 1, -1, -1)))
    second = degrade(turned, tmp_path / "b", CHAIN, workers=1)
    assert {s.id: s.sha256 for s in first} == {s.id: s.sha256 for s in second}


def test_what_cannot_be_read_is_a_row_with_its_reason(dataset, tmp_path):
    (dataset.root / "real" / "3.jpg").write_bytes(b"")
    made = degrade(dataset, tmp_path / "out", read_chain("social/whatsapp-like"))
    statuses = {s.id: s.status for s in made}
    assert statuses.pop("r3").startswith("not-degraded:")
    assert set(statuses.values()) == {"ok"}
    quarantined = Manifest.from_samples([replace(s, status="empty: x") for s in dataset], dataset.root)
    assert len(degrade(quarantined, tmp_path / "none", CHAIN)) == 0


def test_two_files_that_differ_in_suffix_stay_two(tmp_path):
    root = tmp_path / "set" / "real"
    root.mkdir(parents=True)
    (root / "a.jpg").write_bytes(broken.jpeg(1))
    (root / "a.png").write_bytes(broken.png(2))
    (root / "a.png.jpg").write_bytes(broken.jpeg(3))
    original = scan(tmp_path / "set")
    made = degrade(original, tmp_path / "out", parse_chain("jpeg:quality=50"))
    taken = next(s.id for s in original if s.path == "real/a.png")
    assert [s.path for s in made] == ["images/real/a.jpg", f"images/real/a.png.{taken}.jpg", "images/real/a.png.jpg"]


def test_originals_are_never_written_to(dataset, tmp_path):
    with pytest.raises(BadSetting, match="overwrite the originals"):
        degrade(dataset, dataset.root, CHAIN)
    outside = Manifest.from_samples([Sample(id="x", path="../x.jpg", label="real")], dataset.root)
    (dataset.root.parent / "x.jpg").write_bytes(broken.jpeg(1))
    made = degrade(outside, tmp_path / "deep" / "out", CHAIN)
    assert "leaves the manifest's root" in made[0].status
    assert not (tmp_path / "deep" / "x.jpg").exists()


def test_what_does_not_meet_the_conditions_is_copied_as_it_is(dataset, tmp_path):
    whole = degrade(dataset, tmp_path / "whole", CHAIN, name="mine", workers=0)
    made = degrade(dataset, tmp_path / "out", CHAIN, name="mine", only=("label!=real",), workers=0)
    for before, after, all_through in zip(dataset, made, whole, strict=True):
        there = (made.root / after.path).read_bytes()
        through = (whole.root / all_through.path).read_bytes()
        if before.fake:
            assert there == through
        else:
            assert there == (dataset.root / before.path).read_bytes() != through
            assert (after.path, after.label) == (f"images/{before.path}", "real")
    assert made.facts["only"] == ["label!=real"]
    assert "only" not in whole.facts
    assert made.history[-1].endswith("seed 0, only where label!=real")
    turned = degrade(dataset, tmp_path / "turned", CHAIN, only=("label=real",), workers=0)
    for before, after in zip(dataset, turned, strict=True):
        if before.mask_path is not None:
            assert (turned.root / after.mask_path).read_bytes() == (dataset.root / before.mask_path).read_bytes()
    with pytest.raises(BadSetting, match="no picture meets these conditions"):
        degrade(dataset, tmp_path / "none", CHAIN, only=("label=generated",))

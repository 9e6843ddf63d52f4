from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from fauxlens.core.errors import BadManifest, BadSetting, BadShape, UnknownName
from fauxlens.detectors.card import Card
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, normalised, padded, resized, resized_crop, tiled, whole
from fauxlens.images.picture import read_picture
from fauxlens.manifest.manifest import Manifest
from fauxlens.train.augment import read_augment
from fauxlens.train.data import SHOWINGS, Batch, DecodedCache, Samples, collate, loader, mask_of_view
from fauxlens.train.order import SamplingPlan, candidates, epoch_order
from train_sets import GENERATORS, drawn, train_set

CROP = read_augment(
    [
        {"step": "crop", "side": 24, "place": "random"},
        {"step": "flip", "probability": 0.5},
        {"step": "noise", "variance": [3, 10]},
    ]
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return train_set(tmp_path_factory.mktemp("set"))


def same(one: Batch, other: Batch) -> bool:
    masks = one.mask is other.mask is None or (
        one.mask is not None and other.mask is not None and torch.equal(one.mask, other.mask)
    )
    pairs = ((one.image, other.image), (one.label, other.label), (one.target, other.target))
    return masks and all(torch.equal(a, b) for a, b in pairs) and one.ids == other.ids and one.skipped == other.skipped


def test_a_sample_is_a_function_of_row_and_seed(manifest: Manifest) -> None:
    samples = Samples(manifest, "imagenet", CROP, masks=True)
    first, again, other = samples[1, 5], samples[1, 5], samples[1, 6]
    assert first.image.shape == (3, 24, 24)
    assert first.image.dtype == torch.float32
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, other.image)
    assert first.id == "e0"
    assert first.mask is not None
    assert first.mask.shape == (1, 24, 24)


def test_batches_are_the_same_for_0_and_2_workers(manifest: Manifest) -> None:
    samples = Samples(manifest, "imagenet", CROP, masks=True, target="generator", classes=GENERATORS)
    order = epoch_order(manifest, SamplingPlan(), epoch=1)
    alone = list(loader(samples, order, batch=5, epoch=1))
    helped = list(loader(samples, order, batch=5, epoch=1, workers=2))
    assert len(alone) == len(helped) == 6
    assert all(same(one, other) for one, other in zip(alone, helped, strict=True))
    later = list(loader(samples, order, batch=5, epoch=1, start=4))
    assert all(same(one, other) for one, other in zip(alone[4:], later, strict=True))
    other_epoch = next(loader(samples, order, batch=5, epoch=2))
    assert other_epoch.ids == alone[0].ids
    assert not torch.equal(other_epoch.image, alone[0].image)


def test_batches_are_the_same_for_1_2_and_4_processes(manifest: Manifest) -> None:
    samples = Samples(manifest, "imagenet", CROP)
    order = epoch_order(manifest, SamplingPlan(), epoch=0)
    whole_batches = list(loader(samples, order, batch=8))
    for world in (2, 4):
        shares = [list(loader(samples, order, batch=8, rank=rank, world=world)) for rank in range(world)]
        for step, batch in enumerate(whole_batches):
            parts = [share[step] for share in shares]
            assert torch.equal(torch.cat([part.image for part in parts]), batch.image)
            assert sum((part.ids for part in parts), ()) == batch.ids


def test_masks_labels_and_classes(manifest: Manifest) -> None:
    samples = Samples(manifest, "unit", masks=True, target="generator", classes=GENERATORS)
    real, edited, made = samples[0, 0], samples[1, 0], samples[2, 0]
    assert (real.label, edited.label, made.label) == (0.0, 1.0, 1.0)
    assert (real.target, edited.target, made.target) == (-1, 0, 0)
    assert real.mask is not None
    assert not real.mask.any()
    assert made.mask is not None
    assert made.mask.all()
    assert edited.mask is not None
    assert int(edited.mask.sum()) == 12 * 16
    assert torch.equal(real.image, torch.from_numpy(drawn(0)).permute(2, 0, 1) / 255)
    plain = Samples(manifest, "unit")
    assert plain[1, 0].mask is None
    assert plain[1, 0].target == 1


def test_a_crop_that_misses_the_forgery_is_real(manifest: Manifest) -> None:
    corner = read_augment([{"step": "crop", "side": 4}])  # the middle, which the first forgery does not reach
    moved = read_augment([{"step": "crop", "side": 2, "place": "random"}])
    labels = {Samples(manifest, "unit", moved, masks=True)[1, seed].label for seed in range(40)}
    assert labels == {0.0, 1.0}
    sample = Samples(manifest, "unit", corner, masks=True)[1, 0]
    assert sample.mask is not None
    assert sample.label == float(sample.mask.any())
    assert Samples(manifest, "unit", moved)[1, 0].label == 1.0  # without masks the row alone says


def test_forging_asks_for_masks_and_changes_the_label(manifest: Manifest) -> None:
    forging = read_augment([{"step": "copy_move"}])
    sample = Samples(manifest, "unit", forging, masks=True)[0, 1]
    assert sample.label == 1.0
    assert sample.mask is not None
    assert sample.mask.any()
    with pytest.raises(BadSetting, match="forges needs masks"):
        Samples(manifest, "unit", forging)


def test_an_edited_picture_without_a_mask_is_refused(manifest: Manifest) -> None:
    rows = [replace(one, mask_path=None) if one.id == "e3" else one for one in manifest]
    with pytest.raises(BadManifest, match="1 edited pictures have no mask"):
        Samples(Manifest.from_samples(rows, manifest.root), "unit", masks=True)
    assert len(Samples(Manifest.from_samples(rows, manifest.root), "unit")) == len(rows)


def test_what_cannot_be_read_is_replaced_by_the_next_of_its_class(tmp_path: Path) -> None:
    manifest = train_set(tmp_path, 4)
    (tmp_path / "real/1.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    (tmp_path / "real/2.png").unlink()
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(tmp_path / "mask/3.png")
    samples = Samples(manifest, "unit", masks=True)
    ids = manifest.column("id").to_pylist()
    found = samples[ids.index("r1"), 7]
    assert found.id == "r3"
    assert [name for name, _ in found.skipped] == ["r1", "r2"]
    assert found.skipped[1][1].startswith("missing: ")
    assert torch.equal(found.image, samples[ids.index("r3"), 7].image)
    edited = samples[ids.index("e3"), 0]  # whose mask has another size; the last one goes on from the first
    assert (edited.id, edited.label) == ("e0", 1.0)
    assert "mask of another size" in edited.skipped[0][1]
    order = np.array([ids.index(one) for one in ("r0", "r1", "e1", "r2")])
    batch = next(loader(samples, order, batch=4))
    assert batch.ids == ("r0", "r3", "e1", "r3")
    assert [name for name, _ in batch.skipped] == ["r1", "r2", "r2"]
    # Only rows that the plan allows may stand in.
    only = Samples(manifest, "unit", rows=np.array([ids.index("r0"), ids.index("r1")]))
    assert only[ids.index("r1"), 0].id == "r0"
    for name in ("0", "1", "3"):
        (tmp_path / f"real/{name}.png").write_bytes(b"")
    with pytest.raises(BadManifest, match="4 pictures in a row cannot be read"):
        samples[ids.index("r0"), 0]


def test_twins_are_processed_alike(manifest: Manifest) -> None:
    noise = read_augment([{"step": "noise", "deviation": 20}])
    samples = Samples(manifest, "unit", noise, seed_by="origin")
    assert samples.seed(1, 0, 0) == samples.seed(1, 0, 1) != samples.seed(1, 0, 2)
    assert samples.seed(1, 0, 0) != samples.seed(1, 1, 0)
    real, edited = (samples[row, samples.seed(1, 0, row)].image for row in (0, 1))
    inside = Samples(manifest, "unit", masks=True)[1, 0].mask
    assert inside is not None
    outside = (inside == 0).expand(3, -1, -1)
    assert torch.equal(real[outside], edited[outside])
    assert not torch.equal(real, edited)
    apart = Samples(manifest, "unit", noise)
    assert apart.seed(1, 0, 0) != apart.seed(1, 0, 1)


def test_augmentation_of_one_class_comes_first(manifest: Manifest) -> None:
    black = read_augment([{"step": "brightness", "factor": 0}])
    samples = Samples(manifest, "unit", first={"fake": black})
    assert samples[0, 0].image.any()
    assert not samples[1, 0].image.any()
    with pytest.raises(UnknownName, match="class of pictures"):
        Samples(manifest, "unit", first={"forged": black})


def test_copies_share_the_crop_and_differ_in_the_rest(manifest: Manifest) -> None:
    crop = read_augment([{"step": "crop", "side": 24, "place": "random"}])
    noise = read_augment([{"step": "noise", "deviation": 9}])
    samples = Samples(manifest, "unit", crop, copies=3, copy_augment=noise)
    sample = samples[0, 4]
    assert sample.image.shape == (3, 3, 24, 24)
    clean, first, second = sample.image
    assert torch.equal(clean, Samples(manifest, "unit", crop)[0, 4].image)
    assert 0 < float((first - clean).abs().mean()) < 0.1
    assert not torch.equal(first, second)
    batch = collate([samples[row, row] for row in range(4)])
    assert batch.image.shape == (12, 3, 24, 24)
    assert torch.equal(batch.image[4], samples[0, 0].image[1])  # all first copies, then all second ones
    parts = batch.split(3)
    assert [len(part) for part in parts] == [3, 1]
    assert torch.equal(parts[1].image, samples[3, 3].image)
    assert torch.equal(parts[0].image[3], batch.image[4])
    with pytest.raises(BadSetting, match="copies need an augmentation"):
        Samples(manifest, "unit", copies=2)


class Nothing(nn.Module):
    def forward(self, image: Tensor) -> Output:
        return Output(logit=image.mean(dim=(1, 2, 3)))


class Halved(Detector):
    """Shows every picture at half its size; has nothing to learn."""

    card = Card(
        name="halved", title="Halved", year=2026, family="halved", tasks=("detect",), paper="none: a test",
        about="For tests.", input="RGB at half the size", parameters=0, code="ours", limits=("A test.",),
    )  # fmt: skip

    def build(self) -> nn.Module:
        return Nothing()

    def prepare(self, pixels: Pixels) -> Prepared:
        return resized(pixels, (pixels.shape[0] // 2, pixels.shape[1] // 2), normalised)


def test_a_detector_shows_as_it_will_be_shown(manifest: Manifest) -> None:
    detector = Halved()
    sample = Samples(manifest, detector, masks=True)[1, 0]
    picture = read_picture(manifest.root / "edited/0.png")
    assert torch.equal(sample.image, detector.prepare(picture.pixels).views[0].tensor())
    assert sample.mask is not None
    assert sample.mask.shape == (1, 20, 24)
    assert int(sample.mask.sum()) == 6 * 8


def test_masks_follow_every_kind_of_view() -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 30:50] = 255
    pixels = np.repeat(mask[..., None], 3, axis=2)

    def unit(seen: Pixels) -> Tensor:
        return normalised(seen, (0, 0, 0), (1, 1, 1))

    several = [
        whole(pixels, unit),
        resized(pixels, (20, 30), unit),
        padded(pixels, (64, 64), unit),
        tiled(pixels, 32, 8, unit),
        resized_crop(pixels, (80, 120), 64, unit),
    ]
    for prepared in several:
        for view in prepared.views:
            found, seen = mask_of_view(mask, view), view.tensor()
            assert found.shape[1:] == seen.shape[1:] == view.shape
            assert float(((seen[:1] > 0.5).float() - found).abs().mean()) < 0.03


def test_of_tiles_one_is_learnt(manifest: Manifest) -> None:
    class Tiles(Halved):
        def prepare(self, pixels: Pixels) -> Prepared:
            return tiled(pixels, 24, 4, normalised)

    seen = {Samples(manifest, Tiles())[1, seed].image.numpy().tobytes() for seed in range(30)}
    assert len(seen) == 6  # two rows of three
    labels = {Samples(manifest, Tiles(), masks=True)[1, seed].label for seed in range(30)}
    assert labels == {0.0, 1.0}


def test_cache_decodes_once_and_notices_changes(manifest: Manifest, tmp_path: Path) -> None:
    plain, cached = (
        Samples(manifest, "unit", CROP, masks=True),
        Samples(manifest, "unit", CROP, masks=True, cache=tmp_path),
    )
    for _ in range(2):
        for row in range(3):
            one, other = plain[row, 9], cached[row, 9]
            assert torch.equal(one.image, other.image)
            assert one.mask is not None
            assert other.mask is not None
            assert torch.equal(one.mask, other.mask)
    assert len(list(tmp_path.rglob("*.npy"))) == 4  # three pictures and one mask
    reads = []
    cache, path = DecodedCache(tmp_path / "own"), tmp_path / "picture.png"
    Image.fromarray(drawn(1)).save(path)

    def read() -> Pixels:
        reads.append(1)
        return read_picture(path).pixels

    assert np.array_equal(cache.get(path, "srgb", read), drawn(1))
    assert np.array_equal(cache.get(path, "srgb", read), drawn(1))
    assert len(reads) == 1
    Image.fromarray(drawn(2, 30, 30)).save(path)
    assert np.array_equal(cache.get(path, "srgb", read), drawn(2, 30, 30))
    for kept in (tmp_path / "own").rglob("*.npy"):
        kept.write_bytes(b"cut off")
    assert np.array_equal(cache.get(path, "srgb", read), drawn(2, 30, 30))
    assert len(reads) == 3


def test_a_nearly_full_disk_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(drawn(1)).save(path)
    cache = DecodedCache(tmp_path / "own", reserve_bytes=1 << 60)
    assert np.array_equal(cache.get(path, "srgb", lambda: drawn(1)), drawn(1))
    assert not list(tmp_path.rglob("*.npy"))


def test_samples_can_be_sent_to_another_process(manifest: Manifest) -> None:
    samples = Samples(manifest, Halved(), CROP, masks=True)
    sent = pickle.loads(pickle.dumps(samples))
    assert torch.equal(sent[1, 5].image, samples[1, 5].image)


def test_a_cache_that_cannot_be_written_stops_nothing(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"a file where the folder would be")
    samples = Samples(manifest, "unit", cache=tmp_path / "taken")
    assert torch.equal(samples[0, 0].image, Samples(manifest, "unit")[0, 0].image)


def test_sizes_that_do_not_fit_together_are_said(tmp_path: Path) -> None:
    manifest = train_set(tmp_path, 1)
    Image.fromarray(drawn(3, 20, 20)).save(tmp_path / "real/0.png")
    samples = Samples(manifest, "unit")
    with pytest.raises(BadShape, match="different sizes"):
        collate([samples[0, 0], samples[1, 0]])


def test_ways_of_showing(manifest: Manifest) -> None:
    ranges = {}
    for name in SHOWINGS:
        image = Samples(manifest, name)[0, 0].image
        ranges[name] = (float(image.min()), float(image.max()))
    assert ranges["unit"] == (0.0, 1.0)
    assert ranges["signed"] == (-1.0, 1.0)
    assert ranges["imagenet"][0] == pytest.approx(-0.485 / 0.229, abs=1e-4)
    with pytest.raises(UnknownName, match="Did you mean 'imagenet'"):
        Samples(manifest, "imagnet")
    with pytest.raises(BadSetting, match="which values of 'generator'"):
        Samples(manifest, "unit", target="generator")


def test_a_moved_dataset_is_noticed_at_once(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match="root of this manifest"):
        Samples(Manifest(manifest.table, tmp_path / "gone"), "unit")


def test_rows_of_the_plan_stand_in(manifest: Manifest) -> None:
    rows = candidates(manifest, SamplingPlan(where_real=("content=0",)))
    samples = Samples(manifest, "unit", rows=rows)
    assert list(samples.rows) == sorted(rows)
    assert len(samples) == len(manifest)


def test_batches_move_as_one(manifest: Manifest) -> None:
    samples = Samples(manifest, "unit", masks=True)
    batch = collate([samples[row, 0] for row in range(3)])
    moved = batch.to("meta")
    assert moved.image.is_meta
    assert moved.mask is not None
    assert moved.mask.is_meta
    assert moved.ids == batch.ids
    with pytest.raises(BadSetting, match="micro-batch"):
        batch.split(0)
    with pytest.raises(BadSetting, match="shorter than one batch"):
        loader(samples, np.arange(3), batch=4)

"""Features: what they show of a picture, which pictures are drawn, and what happens to those that cannot be read."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import audit_sets
import toy
from fauxlens.audit.features import SHAPES, expected_half_width, features_of, sample_features, stack
from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample


@pytest.fixture
def folder(tmp_path: Path) -> Manifest:
    rows = []
    for number in range(24):
        label, generator = ("real", None) if number < 12 else ("generated", ("a", "b")[number % 2])
        path = toy.picture(tmp_path / label / f"{number:02}.png", seed=number, width=40 + number, height=33)
        relative = path.relative_to(tmp_path).as_posix()
        rows.append(Sample(id=f"id{number}", path=relative, label=label, generator=generator))
    return Manifest.from_samples(rows, tmp_path)


@pytest.mark.parametrize("size", [(1, 1), (5, 200), (33, 47), (700, 520)])
def test_every_size_has_the_same_shapes_and_finite_numbers(size):
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    for picture in (pixels, np.zeros_like(pixels), np.full_like(pixels, 255)):
        found = features_of(picture)
        for name, shape in SHAPES.items():
            array = getattr(found, name)
            assert array.shape == shape
            assert array.dtype == np.float16
            assert np.isfinite(array).all(), name
    assert (found.height, found.width) == size
    assert found.phash is None


def test_a_picture_of_another_shape_is_refused():
    with pytest.raises(BadShape, match="RGB"):
        features_of(np.zeros((4, 4), np.uint8))


def test_the_thumbnail_is_the_mean_of_its_part():
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:2, :2] = 255
    found = features_of(pixels)
    assert found.grey[0, 0] == pytest.approx(1, abs=1e-3)
    assert found.grey[0, 1] == 0
    assert found.colour[0, 0] == pytest.approx(np.full(3, 0.25), abs=1e-3)


def test_the_grid_of_a_jpeg_is_at_its_phase_under_png():
    values = audit_sets.to_pixels(audit_sets.picture(np.random.default_rng(0)))
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "JPEG", quality=40)
    saved = np.asarray(Image.open(stream).convert("RGB"))
    grid = features_of(saved).grid
    assert grid[:8].argmax() == 7
    assert grid[8:].argmax() == 7
    shifted = features_of(np.ascontiguousarray(saved[2:, 3:])).grid
    assert shifted[:8].argmax() == 4
    assert shifted[8:].argmax() == 5
    assert np.abs(features_of(values).grid).max() < grid.max() / 2


def test_the_spectrum_peaks_at_the_frequency_of_a_wave():
    x = np.arange(200)
    wave = (128 + 60 * np.sin(2 * np.pi * x * 24 / 128)).astype(np.uint8)
    found = features_of(np.repeat(np.tile(wave, (200, 1))[..., None], 3, axis=2))
    assert abs(int(found.radial[4:].argmax()) + 4 - 24) <= 1
    assert abs(abs(int(np.unravel_index(found.spectrum.argmax(), (64, 64))[1]) - 32) - 12) <= 1


def test_the_residual_holds_a_noise_pattern_and_no_grid():
    chance = np.random.default_rng(0)
    pattern = chance.normal(0, 4, (96, 96, 1))
    first, second = (features_of(audit_sets.to_pixels(audit_sets.picture(chance) + pattern)) for _ in range(2))
    assert float((first.residual.astype("f4") * second.residual).sum()) > 0.3
    lines = np.zeros((96, 96, 3))
    lines[:, ::8] = 20
    first, second = (features_of(audit_sets.to_pixels(audit_sets.picture(chance) + lines)) for _ in range(2))
    assert abs(float((first.residual.astype("f4") * second.residual).sum())) < 0.2


def test_the_sample_is_the_same_whatever_the_order_and_the_larger_holds_the_smaller(folder):
    turned = folder.take("turned", list(range(len(folder)))[::-1])
    first = sample_features(folder, per_class=5, per_generator=3, seed=4)
    again = sample_features(turned, per_class=5, per_generator=3, seed=4)
    assert first.ids == again.ids
    assert first.ids == tuple(sorted(first.ids))
    assert np.array_equal(first.spectrum, again.spectrum)
    assert first.drawn == {None: 5, "a": 3, "b": 3}
    assert first.there == {None: 12, "a": 6, "b": 6}
    assert set(first.ids) < set(sample_features(folder, per_class=8, per_generator=4, seed=4).ids)
    assert first.ids != sample_features(folder, per_class=5, per_generator=3, seed=5).ids
    assert first.rows_of("a").tolist() == [at for at, name in enumerate(first.generator) if name == "a"]


def test_reading_through_a_ledger_gives_what_reading_in_memory_gives(folder, tmp_path):
    sampled = sample_features(folder, folder=tmp_path / "state")
    direct = stack(folder, [features_of(np.asarray(Image.open(folder.path_of(one)))) for one in folder])
    assert sampled.ids == direct.ids
    for name in SHAPES:
        assert np.array_equal(getattr(sampled, name), getattr(direct, name)), name
    assert sampled.phash == direct.phash
    # The state is kept: the pictures are not needed again.
    for one in folder:
        folder.path_of(one).unlink()
    assert np.array_equal(sample_features(folder, folder=tmp_path / "state").grey, sampled.grey)


def test_what_cannot_be_read_is_told_and_left_out(folder):
    folder.path_of(folder[3]).write_bytes(b"no picture")
    folder.path_of(folder[14]).unlink()
    found = sample_features(folder)
    assert len(found) == 22
    assert {path for path, _ in found.unreadable} == {folder[3].path, folder[14].path}
    assert dict(found.unreadable)[folder[14].path].startswith("missing")


def test_one_origin_and_one_look_are_one_group():
    pictures = audit_sets.pool(4)
    manifest = audit_sets.manifest_of([False, True, False, True], origin=["x", "x", "y", "z"])
    found = stack(manifest, [pictures[0], pictures[1], pictures[2], pictures[2]])
    assert found.group.tolist() == [0, 0, 2, 2]


def test_an_empty_sample_is_refused_and_an_empty_manifest_is_not():
    empty = Manifest.from_samples([], Path())
    with pytest.raises(BadSetting, match="empty sample"):
        sample_features(empty, per_class=0)
    found = sample_features(empty)
    assert len(found) == 0
    assert np.isnan(found.half_width())


def test_the_expected_half_width_is_that_of_many_draws():
    chance = np.random.default_rng(0)
    aucs = [(chance.normal(size=(40, 1)) > chance.normal(size=30)).mean() for _ in range(2000)]
    assert expected_half_width(30, 40) == pytest.approx(1.96 * np.std(aucs), rel=0.06)

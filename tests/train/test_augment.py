from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from drawn import drawn_mask, drawn_picture
from fauxlens.core.errors import BadSetting, UnknownName
from fauxlens.core.names import look_up
from fauxlens.images.degrade import STEPS, OneOf, parse_chain
from fauxlens.images.degrade.chain import Chain
from fauxlens.images.degrade.step import Step
from fauxlens.train.augment import (
    _OPERATIONS,
    AUGMENTS,
    BrightnessContrast,
    CopyMove,
    Erase,
    Inpaint,
    RandAugment,
    RandomResizedCrop,
    Steps,
    augment_of,
    imaginet,
    imaginet_faithful,
    imdl_benco,
    processed_twin,
    read_augment,
)

LISTS = [name for name in AUGMENTS if not isinstance(look_up(AUGMENTS, name, "augmentation"), type)]
OWN = [name for name in AUGMENTS if name not in STEPS and name not in LISTS]


def chance(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", [*LISTS, *OWN])
def test_every_list_and_step_is_seeded_and_writes_to_nothing(name: str) -> None:
    pixels, mask = drawn_picture(60, 80), drawn_mask(60, 80)
    before = pixels.copy(), mask.copy()
    pixels.flags.writeable = mask.flags.writeable = False
    augment = augment_of(name)
    outcomes = []
    for seed in range(6):
        found, moved = augment(pixels, mask, chance(seed))
        again, moved_again = augment(pixels, mask, chance(seed))
        assert moved is not None
        assert moved_again is not None
        assert np.array_equal(found, again)
        assert np.array_equal(moved, moved_again)
        assert found.dtype == moved.dtype == np.uint8
        assert found.shape[:2] == moved.shape
        assert set(np.unique(moved)) <= {0, 255}
        outcomes.append(found.tobytes())
    assert len(set(outcomes)) > 1
    assert np.array_equal(pixels, before[0])
    assert np.array_equal(mask, before[1])


MOVED = ("imdl-benco", "imaginet", "imaginet-anchor", "genimage", "npr", "cnnspot", "random_resized_crop")


@pytest.mark.parametrize("name", MOVED)
def test_masks_go_where_their_pixels_go(name: str) -> None:
    """The forged part is white on black, so the mask can be read off the picture."""
    mask = drawn_mask(120, 160)
    pixels = np.repeat(mask[..., None], 3, axis=2)
    agree = []
    for seed in range(8):
        found, moved = augment_of(name)(pixels, mask, chance(seed))
        assert moved is not None
        if name == "imdl-benco":
            # What a forged rectangle covers is another matter; only the picture's own mask is compared here.
            kept = Steps(Chain(tuple(s for s in imdl_benco().steps if not getattr(s, "forges", False))))
            found, moved = kept(pixels, mask, chance(seed))
            assert moved is not None
        agree.append(float(((found[..., 1] > 127) == (moved > 127)).mean()))
    assert min(agree) > 0.93
    assert float(np.mean(agree)) > 0.97


def test_rand_augment_moves_the_mask_with_the_picture() -> None:
    mask = drawn_mask(64, 64)
    pixels = np.repeat(mask[..., None], 3, axis=2)
    step = RandAugment()
    for name in _OPERATIONS:
        for sign in (1, -1):
            record = {"step": "rand_augment", "applied": True, "operations": [[name, 0.9, sign]]}
            found, moved = step.replay(pixels, record), step.replay_mask(mask, record)
            assert found.shape == pixels.shape
            if name in ("rotate", "shear_x", "shear_y", "translate_x", "translate_y"):
                assert not np.array_equal(moved, mask)
                assert float(((found[..., 0] > 192) == (moved > 127)).mean()) > 0.97, name
            else:
                assert np.array_equal(moved, mask)
    seen = Counter(len(step.draw(9, 9, chance(seed))["operations"]) for seed in range(400))
    assert set(seen) == {0, 1, 2}  # two operations, each in one half of the cases
    assert seen[1] == pytest.approx(200, abs=45)


def test_forged_rectangles_are_in_the_mask() -> None:
    pixels, empty = drawn_picture(50, 70), np.zeros((50, 70), np.uint8)
    for step in (CopyMove(), Inpaint(method="telea"), Inpaint(method="ns", side=0.2)):
        for seed in range(4):
            found, record = step.apply(pixels, chance(seed))
            mask = step.replay_mask(empty, record)
            rows, columns = record["height"], record["width"]
            assert int((mask > 0).sum()) == rows * columns
            assert np.array_equal(found[mask == 0], pixels[mask == 0])
            if isinstance(step, CopyMove):
                source = pixels[record["from_top"] :, record["from_left"] :][:rows, :columns]
                assert np.array_equal(found[record["top"] :, record["left"] :][:rows, :columns], source)
    assert Inpaint().draw(50, 70, chance(0)).keys() == {"height", "width", "top", "left", "method"}
    assert {Inpaint().draw(50, 70, chance(seed))["method"] for seed in range(12)} == {"telea", "ns"}


def test_who_forges_is_known() -> None:
    assert Steps(imdl_benco()).forges
    assert not Steps(imaginet()).forges
    assert not read_augment([{"step": "copy_move", "probability": 0.0}]).forges
    inner = read_augment([{"step": "one_of", "chains": [{"step": "inpaint"}, {"step": "flip"}]}])
    assert inner.forges


def test_brightness_and_contrast_by_hand() -> None:
    pixels = np.array([[[0, 100, 250]]], np.uint8)
    found, _ = BrightnessContrast(brightness=0.1, contrast=-0.1).apply(pixels, chance(0))
    assert found.tolist() == [[[26, 116, 250]]]  # 25.5 and 250.5, halves to even


def test_resized_crops_stay_in_their_ranges() -> None:
    step = RandomResizedCrop(side=16)
    shares = []
    for seed in range(200):
        record = step.draw(100, 120, chance(seed))
        assert 0 <= record["top"] <= 100 - record["height"]
        assert 0 <= record["left"] <= 120 - record["width"]
        assert 0.7 < record["width"] / record["height"] < 1.43
        shares.append(record["height"] * record["width"] / 12000)
    assert min(shares) > 0.07
    assert max(shares) <= 1
    assert float(np.mean(shares)) == pytest.approx(0.54, abs=0.06)
    strip = step.draw(10, 1000, chance(0))  # into which no draw fits
    assert strip == {"height": 10, "width": 13, "top": 0, "left": 493}


def test_erasing_fills_one_rectangle_with_noise() -> None:
    pixels = np.zeros((60, 60, 3), np.uint8)
    step = Erase()
    found, record = step.apply(pixels, chance(1))
    inside = found[record["top"] :, record["left"] :][: record["height"], : record["width"]]
    assert found.sum() == inside.sum() > 0
    assert 0.02 * 3600 * 0.8 < inside.shape[0] * inside.shape[1] < 3600 / 3 * 1.2
    assert inside.mean(axis=(0, 1)) == pytest.approx(np.array([124, 116, 104]), abs=25)


def test_imaginet_list_is_the_published_one() -> None:
    crop, one_of, rotate, flip = imaginet().steps
    assert str(crop) == "crop:side=96,place=random"
    assert isinstance(one_of, OneOf)
    assert one_of.probability == 0.5
    assert one_of.weights is None  # one third each
    codec, blur, noise = one_of.chains
    assert str(codec) == "one_of(jpeg:quality=50-95 / webp:quality=50-95)"
    assert (str(blur), str(noise)) == ("blur:kernel=3-7", "noise:variance=3-10")
    assert (rotate.probability, flip.probability) == (0.33, 0.33)
    assert str(imaginet_faithful()).count("swapped=true") == 2
    found, _ = Steps(imaginet())(drawn_picture(30, 200), None, chance(0))  # a smaller picture is mirrored first
    assert found.shape == (96, 96, 3)


def test_processed_twins_do_not_ask_for_the_class() -> None:
    pixels = drawn_picture(48, 48)
    augment = Steps(processed_twin(untouched=1, light=0, medium=0, heavy=1))
    kept = sum(np.array_equal(augment(pixels, None, chance(seed))[0], pixels) for seed in range(40))
    assert 10 < kept < 30
    # A photo and its forgery with one seed go through the same chain: outside the forgery they stay alike.
    forged = pixels.copy()
    forged[:8, :8] = 0
    seed = next(s for s in range(99) if not np.array_equal(augment(pixels, None, chance(s))[0], pixels))
    real_after, _ = augment(pixels, None, chance(seed))
    fake_after, _ = augment(forged, None, chance(seed))
    assert real_after.shape == fake_after.shape
    assert np.abs(real_after[-8:, -8:].astype(int) - fake_after[-8:, -8:]).mean() < 20


def test_steps_have_streams_of_their_own() -> None:
    pixels = drawn_picture(40, 40)
    first = [{"step": "brightness_contrast"}, {"step": "crop", "side": 20, "place": "random"}]
    other = [{"step": "brightness_contrast", "probability": 0.0}, {"step": "crop", "side": 20, "place": "random"}]
    for seed in range(5):
        whole = read_augment(other)(pixels, None, chance(seed))[0]
        bright = read_augment(first)(pixels, None, chance(seed))[0]
        near = np.corrcoef(whole.ravel(), bright.ravel())[0, 1]
        assert near > 0.9  # the same crop, only brighter or darker


def test_tables_are_read_and_refused() -> None:
    found = read_augment(
        [
            {"step": "imaginet", "side": 32},
            {"step": "processed/light"},
            {
                "step": "one_of",
                "weights": [3, 1],
                "chains": [[{"step": "copy_move"}, {"step": "flip"}], {"step": "jpeg"}],
            },
        ]
    )
    assert found.forges
    assert found(drawn_picture(), drawn_mask(), chance(0))[0].ndim == 3
    assert str(found.chain.steps[0]) == "crop:side=32,place=random"
    light = parse_chain(look_up({"x": "fauxlens.images.degrade.recipes:CHAINS"}, "x", "y")["processed/light"].text)
    assert found.chain.steps[4:-1] == light.steps
    assert isinstance(found.chain.steps[-1], OneOf)
    assert isinstance(found.chain.steps[-1].chains[0].steps[0], CopyMove)
    with pytest.raises(UnknownName, match="no augmentation called 'imagenet'"):
        read_augment([{"step": "imagenet"}])
    with pytest.raises(BadSetting, match="does not take these fields"):
        read_augment([{"step": "imaginet", "sides": 3}])
    with pytest.raises(BadSetting, match="qualty"):
        read_augment([{"step": "jpeg", "qualty": 3}])
    with pytest.raises(BadSetting, match="says which it is"):
        read_augment([{"quality": 3}])
    with pytest.raises(BadSetting, match="a list of tables"):
        read_augment({"step": "jpeg"})
    with pytest.raises(BadSetting, match="has no fields"):
        read_augment([{"step": "processed/light", "probability": 0.5}])


def test_every_name_of_the_table_leads_somewhere() -> None:
    for name in AUGMENTS:
        found = look_up(AUGMENTS, name, "augmentation")
        assert issubclass(found, Step) if isinstance(found, type) else isinstance(found(), Chain)

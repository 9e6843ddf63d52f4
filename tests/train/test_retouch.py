"""Retouching leaves the mask alone, changes one place only, and is the same for the same chance."""

from __future__ import annotations

import numpy as np
import pytest

from fauxlens.core.errors import BadSetting
from fauxlens.train.augment import Steps, read_augment
from fauxlens.train.retouch import RETOUCHES, Bilateral, Locally, Median, Retouched, blob
from landscapes import landscape


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return landscape(3, 96, 128)


def test_locally_changes_about_the_area_it_was_asked_for_and_nothing_else(photo: np.ndarray) -> None:
    step = Locally(chain="gamma:exponent=2", area=(0.3, 0.3), feather=(0.0, 0.0))
    found, record = step.apply(photo, np.random.default_rng(1))
    changed = (found != photo).any(axis=2)
    assert 0.2 < changed.mean() <= 0.31
    inside = blob(96, 128, record["area"], np.random.default_rng(record["seed"]).spawn(2)[1])
    assert not changed[~inside].any()
    assert np.array_equal(step.replay(photo, record), found)


def test_a_mask_goes_through_untouched(photo: np.ndarray) -> None:
    mask = np.zeros(photo.shape[:2], np.uint8)
    mask[10:40, 20:60] = 255
    augment = read_augment([{"step": "locally"}, {"step": "retouched"}, {"step": "median"}, {"step": "bilateral"}])
    assert not augment.forges
    pixels, after = augment(photo, mask, np.random.default_rng(0))
    assert after is not None
    assert np.array_equal(after, mask)
    assert not np.array_equal(pixels, photo)


def test_what_changes_the_size_cannot_be_done_in_one_place(photo: np.ndarray) -> None:
    with pytest.raises(BadSetting, match="keep the size"):
        Locally(chain="resize:scale=0.5").apply(photo, np.random.default_rng(0))


@pytest.mark.parametrize("step", [Median(sides=(5,)), Bilateral(), Retouched()])
def test_the_same_chance_gives_the_same_pixels(photo: np.ndarray, step: Median) -> None:
    first, _ = step.apply(photo, np.random.default_rng(7))
    again, _ = step.apply(photo, np.random.default_rng(7))
    assert np.array_equal(first, again)
    assert first.shape == photo.shape


def test_every_retouch_is_drawn(photo: np.ndarray) -> None:
    step = RETOUCHES["any"].steps[0]
    chosen = {step.run(photo, np.random.default_rng(seed)).record["chosen"] for seed in range(80)}
    assert chosen == set(range(8))


@pytest.mark.parametrize("wrong", [{"step": "median", "sides": [4]}, {"step": "retouched", "chain": "nothing"},
                                   {"step": "locally", "area": [0.0, 0.5]}])  # fmt: skip
def test_settings_out_of_range_are_told(wrong: dict[str, object]) -> None:
    with pytest.raises(BadSetting):
        read_augment([wrong])


def test_strength_leaves_out_what_happens_sometimes_and_moves_no_other_draw(photo: np.ndarray) -> None:
    often = read_augment(
        [{"step": "crop", "side": 64, "place": "random"}, {"step": "noise", "deviation": 9.0, "probability": 0.999}]
    )
    plain = read_augment([{"step": "crop", "side": 64, "place": "random"}])

    def run(augment: Steps, seed: int) -> np.ndarray:
        return augment(photo, None, np.random.default_rng(seed))[0]

    for seed in range(5):
        # The crop is drawn as ever; only the noise is gone.
        assert run(often.at(0.0), seed).shape == (64, 64, 3)
        assert not np.array_equal(run(often, seed), run(often.at(0.0), seed))
        assert np.array_equal(run(often.at(1.0), seed), run(often, seed))
        found = np.abs(run(often, seed).astype(int) - run(often.at(0.0), seed)).mean()
        assert 4 < found < 10  # the noise, and not another place
    kept = sum(not np.array_equal(run(often.at(0.5), seed), run(often.at(0.0), seed)) for seed in range(60))
    assert 18 <= kept <= 42
    assert run(plain.at(0.0), 1).shape == (64, 64, 3)

"""The invisible watermark: read where it was written, silent everywhere else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fauxlens.images.encode import encode_jpeg, encode_png
from fauxlens.images.picture import decode
from fauxlens.verdict.provenance.watermark import CHANCE, MESSAGES, SMALLEST, best_match, leanings_of
from origin_files import watermarked
from photo_like import photo_like


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("program", MESSAGES)
def test_every_message_is_read_in_both_orders(program, swapped):
    pixels = watermarked(photo_like(1, 320, 384), MESSAGES[program], swapped=swapped)
    found = best_match(pixels)
    assert found is not None
    assert found.is_overwhelming
    assert found.program == program
    assert found.matched >= 0.95 * found.bits
    assert found.chance < 1e-3 * CHANCE


def test_the_messages_are_what_the_programs_write():
    assert {name: len(bits) for name, bits in MESSAGES.items()} == {
        "Stable Diffusion XL": 48, "Stable Diffusion 1": 136, "Stable Diffusion 2": 32, "InvokeAI": 64,
    }  # fmt: skip
    as_bytes = bytes(np.packbits(np.array(MESSAGES["Stable Diffusion 1"], np.uint8)))
    assert as_bytes == b"StableDiffusionV1"
    assert np.packbits(np.array(MESSAGES["Stable Diffusion XL"], np.uint8)).tobytes() == bytes.fromhex("b3ec907bb19e")


def test_the_evidence_states_agreement_and_chance(find):
    data = encode_png(watermarked(photo_like(1, 320, 384), MESSAGES["Stable Diffusion XL"]))
    found = find(data, "watermark")
    assert (found.leans, found.strength) == ("generated", "strong")
    assert found.details["bits"] == 48
    assert found.details["bits_matched"] >= 46
    assert 0 <= found.details["chance"] < CHANCE
    assert "anybody can mark any picture" in found.limit


def test_it_survives_light_and_gentle_compression_but_not_resizing():
    pixels = watermarked(photo_like(1, 320, 384), MESSAGES["Stable Diffusion XL"])
    brighter = np.clip(pixels.astype(np.int16) + 10, 0, 255).astype(np.uint8)
    jpeg = decode(encode_jpeg(pixels, 95, subsampling="4:4:4")).pixels
    smaller = cv2.resize(pixels, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    answers = [best_match(np.asarray(one, dtype=np.uint8)) for one in (brighter, jpeg, smaller)]
    assert [one is not None and one.is_overwhelming for one in answers] == [True, True, False]


def test_another_message_and_random_ones_are_not_told():
    chance = np.random.default_rng(0)
    for length in (32, 48, 48, 64):
        message = tuple(chance.integers(0, 2, length).tolist())
        found = best_match(watermarked(photo_like(1, 320, 384), message))
        assert found is not None
        assert not found.is_overwhelming


def test_it_is_silent_on_what_carries_none():
    chance = np.random.default_rng(1)
    y, x = np.mgrid[0:288, 0:288]
    drawn = [photo_like(seed, 288, 288) for seed in range(4)]
    drawn += [chance.integers(0, 256, (288, 320, 3), dtype=np.uint8) for _ in range(12)]
    for period in (8, 16, 30, 32, 48, 64):  # patterns in step with the blocks and with the lengths of the messages
        stripes = (127 + 100 * np.sin(2 * np.pi * x / (8 * period))).astype(np.uint8)
        drawn += [np.dstack([stripes, 255 - stripes, stripes]), np.dstack([stripes.T, stripes, stripes])]
        blocks = ((x // 8 + y // 8 * 36) % period < period // 2).astype(np.uint8) * 90
        drawn.append(np.dstack([blocks + 60, blocks, 200 - blocks]))
        bars = chance.integers(0, 200, (period, 3)).astype(np.uint8)
        drawn += [bars[x // 8 % period], bars[(x // 8 + y // 8 * 36) % period]]
    drawn += [np.full((288, 288, 3), level, np.uint8) for level in (0, 128, 255)]
    least = min(one.chance for pixels in drawn if (one := best_match(pixels)) is not None)
    assert least > 1e-5  # of about fifty pictures, none is near what would be told


def test_chance_is_counted_rightly():
    """On noise, as many pictures fall below a chance as it says: at most, for it is counted over all messages."""
    chance = np.random.default_rng(2)
    found = [best_match(chance.integers(0, 256, (256, 256, 3), dtype=np.uint8)) for _ in range(200)]
    below = [sum(one is not None and one.chance <= level for one in found) for level in (0.5, 0.1, 0.01)]
    assert 50 <= below[0] <= 110
    assert below[1] <= 36
    assert below[2] <= 8


def test_small_pictures_cannot_carry_one():
    assert best_match(photo_like(0, 255, 256)) is None
    assert best_match(np.zeros((4, SMALLEST, 3), np.uint8)) is None
    assert leanings_of(photo_like(0, 67, 83)).shape == (8 * 10,)

"""The invisible watermark that the Stable Diffusion programs write: "dwtDct", with the messages that are known.

How it is published: the U channel, its approximation by one step of the Haar wavelet, blocks of 4 x 4 of that, in each
the largest coefficient behind the first; its remainder by 36 is about 9 for a bit 0 and about 27 for a bit 1. The bits
of the message follow each other block by block, row by row, over and over.

What is inferred and not published: the coefficients are those of the block itself. The name speaks of a cosine
transform of each block; pictures that the program in use had marked could be read bit by bit without one, and not with
one. That some writers hand red and blue over in the other order is why both orders are tried.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fauxlens.images.shapes import Pixels
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.provenance.told import Subject, Told

SCALE = 36.0
SMALLEST = 256 * 256
"""Pixels below which the encoder refuses to write."""

CHANCE = 1e-8
_FLAT = 1e-9
_WEAK = 5.0  # of Student's distribution: with as many places as a message has, chance alone reaches it in millions
_ENOUGH = 2_000_000  # pixels
"""How likely a match may be at random, over all messages and both orders of colours together."""

MESSAGES: dict[str, tuple[int, ...]] = {
    "Stable Diffusion XL": tuple(int(bit) for bit in f"{0b101100111110110010010000011110111011000110011110:b}"),
    "Stable Diffusion 1": tuple(int(bit) for letter in b"StableDiffusionV1" for bit in f"{letter:08b}"),
    "Stable Diffusion 2": tuple(int(bit) for letter in b"SDV2" for bit in f"{letter:08b}"),
    "InvokeAI": tuple(int(bit) for letter in b"InvokeAI" for bit in f"{letter:08b}"),
}
"""What each program writes."""


@dataclass(frozen=True, slots=True)
class Match:
    """The message that fits best: how many of its bits do, and how likely that is at random."""

    program: str
    matched: int
    bits: int
    chance: float

    @property
    def is_overwhelming(self) -> bool:
        """Whether it can be told."""
        return self.chance <= CHANCE


def best_match(pixels: Pixels) -> Match | None:
    """The known message that fits the RGB pixels best; None where the picture is too small to carry one."""
    if pixels.shape[0] * pixels.shape[1] < SMALLEST or min(pixels.shape[:2]) < 8:
        return None
    found = [
        _compared(leanings, program, message)
        for leanings in (leanings_of(pixels), leanings_of(pixels, swapped=True))
        for program, message in MESSAGES.items()
        if len(leanings) >= len(message)
    ]
    return min(found, key=lambda one: one.chance) if found else None


def leanings_of(pixels: Pixels, *, swapped: bool = False) -> NDArray[np.float32]:
    """How each block leans, row by row, of RGB pixels: -1 to a bit 0, 1 to a bit 1; `swapped` takes red for blue."""
    height, width = (side // 4 * 4 for side in pixels.shape[:2])
    # The message repeats from row to row, so that the upper part of a large picture says it as often as is needed.
    height = min(height, max(_ENOUGH // width // 8, 1) * 8)
    order = cv2.COLOR_BGR2YUV if swapped else cv2.COLOR_RGB2YUV
    u = cv2.extractChannel(cv2.cvtColor(np.ascontiguousarray(pixels[:height, :width]), order), 1).astype(np.float32)
    # The mean of each 2 x 2, times two: what the wavelet gives.
    halved = cv2.resize(u, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    approximation: NDArray[np.float32] = np.asarray(2 * halved, dtype=np.float32)
    rows, columns = approximation.shape[0] // 4, approximation.shape[1] // 4
    inside = approximation[: 4 * rows, : 4 * columns]
    inside[::4, ::4] = 0  # the first one of each block does not count, and none is below zero
    largest = _largest_of_four(_largest_of_four(inside, 0), 1).ravel()
    # Remainders near 0 and 18 say nothing, those near 9 and 27 most; a hard limit would count them alike.
    return np.asarray(-np.sin(largest * np.float32(2 * np.pi / SCALE)), dtype=np.float32)


def _largest_of_four(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    first, second, third, fourth = (values[k::4] if axis == 0 else values[:, k::4] for k in range(4))
    return np.maximum(np.maximum(first, second), np.maximum(third, fourth))


def _compared(leanings: NDArray[np.float32], program: str, message: tuple[int, ...]) -> Match:
    wanted, length = np.array(message, dtype=np.float64), len(message)
    repeats = len(leanings) // length
    means = leanings[: repeats * length].reshape(repeats, length).mean(axis=0, dtype=np.float64)
    # A picture leans to one bit as a whole, and flat ones say nothing else: what counts is how the places of the
    # message differ from each other, so a share of ones that is far from a half brings no match about.
    means -= means.mean()
    wanted -= wanted.mean()
    size = float(np.sqrt((means**2).sum() * (wanted**2).sum()))
    # At every place where the message could begin; it does at the first one only.
    everywhere = np.fft.irfft(np.fft.rfft(means) * np.fft.rfft(wanted).conj(), length) / max(size, _FLAT)
    correlation = float(everywhere[0]) if size > _FLAT else 0.0
    # Stripes and tiles in step with the message make neighbouring places alike, so that fewer of them count than there
    # are. Then the message fits elsewhere too, and by how well it does there, chance is larger.
    elsewhere = max(1.0, float((everywhere[1:] ** 2).mean()) * (length - 1))
    degrees = length - 2
    student = correlation * np.sqrt(degrees / max(1e-12, 1 - correlation**2) / elsewhere)
    chance = 2 * len(MESSAGES) * _tail(float(student), degrees)
    return Match(program, int(((means > 0) == (wanted > 0)).sum()), length, min(1.0, chance))


def _tail(student: float, degrees: int) -> float:
    """How often chance alone gives as much or more, by Student's distribution."""
    if student < _WEAK:
        # Far from overwhelming. The normal distribution says it nearly as well, and loads nothing.
        return math.erfc(student / math.sqrt(2)) / 2
    from scipy.special import stdtr

    return float(stdtr(degrees, -student))


def check(subject: Subject) -> Told:
    """Look for every known message."""
    match = best_match(subject.picture.pixels)
    if match is None or not match.is_overwhelming:
        return Told()
    about = f"{match.matched} of its {match.bits} bits were read, which chance alone does in fewer than one of"
    evidence = Evidence(
        check="watermark",
        sentence=f"The pixels carry the invisible watermark of {match.program}: {about} "
        "100 million pictures.",
        limit="The program that writes it is free, so anybody can mark any picture; programs also mark whole photos "
        "of which they repainted a part. Resizing, cropping or compression removes it: its absence says nothing.",
        leans="generated",
        strength="strong",
        details={
            "method": "dwtDct", "program": match.program, "bits": match.bits, "bits_matched": match.matched,
            "chance": float(f"{match.chance:.2g}"),
        },
    )  # fmt: skip
    return Told((evidence,))

"""Noiseprint++ as a detector: what it is shown, and that tiles leave no seam."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from fauxlens.detectors import load
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.view import tiled, whole


def lively() -> Detector:
    """Weights large enough that the padding of a tile is seen far inside."""
    detector = load("noiseprint++", "random")
    torch.manual_seed(0)
    for layer in detector.network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return detector


def test_pixels_are_divided_by_256() -> None:
    pixels = np.full((3, 4, 3), (0, 128, 255), np.uint8)
    shown = load("noiseprint++", "random").prepare(pixels).views[0].tensor()
    assert shown[:, 0, 0].tolist() == [0, 0.5, 255 / 256]


def test_tiles_leave_no_seam() -> None:
    detector = lively()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 150, 3), dtype=np.uint8)

    def trace(prepared: object) -> np.ndarray:
        detector.prepare = lambda _: prepared  # type: ignore[method-assign,assignment]
        found = detector.predict([pixels])[0].trace
        assert found is not None
        return found

    shown = detector.prepare(pixels).views[0].tensor
    assert shown is not None

    def tensor(part: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(part.transpose(2, 0, 1).copy()).float() / 256

    as_whole = trace(whole(pixels, tensor))
    seamless = trace(tiled(pixels, 80, 50, tensor, margin=17))
    seamed = trace(tiled(pixels, 80, 50, tensor))
    deviation = as_whole.std()
    assert np.abs(seamless - as_whole).max() < 1e-4 * deviation
    assert np.abs(seamed - as_whole).max() > 1e-2 * deviation


def test_a_large_picture_is_shown_in_tiles_whose_margins_count_for_nothing() -> None:
    prepared = load("noiseprint++", "random").prepare(np.zeros((64, 1300, 3), np.uint8))
    assert {view.margin for view in prepared.views} == {17}
    assert prepared.notes == ("seen in 2 tiles of at most 1024x64",)


def test_several_pictures_that_do_not_fit_one_pass_are_told_of_as_alone() -> None:
    detector = load("noiseprint++", "random")
    # Two of these are more than the network takes at once on a processor.
    pictures = [np.random.default_rng(seed).integers(0, 256, (184, 184, 3), dtype=np.uint8) for seed in range(2)]
    together = detector.predict(pictures, batch_size=2)
    for one, picture in zip(together, pictures, strict=True):
        (alone,) = detector.predict([picture])
        assert one.trace is not None
        assert alone.trace is not None
        assert np.abs(one.trace - alone.trace).max() < 1e-5

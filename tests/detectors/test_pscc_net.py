"""How PSCC-Net is shown pictures, how its three files come together, and what its outputs mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fauxlens.core.errors import BadShape, BadWeights
from fauxlens.detectors.checkpoint import read_tensors
from fauxlens.detectors.detector import RANDOM
from fauxlens.detectors.load import fitted, load
from fauxlens.detectors.pscc_net import PIXEL_BUDGET, NonLocalMask, PsccMaps, PsccNetDetector, PsccNetwork


@pytest.fixture(scope="module")
def detector() -> PsccNetDetector:
    found = load("pscc-net", "random")
    assert isinstance(found, PsccNetDetector)
    return found


def noisy(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_picture_is_divided_by_255_and_not_normalised(detector: PsccNetDetector) -> None:
    picture = noisy(37, 50)
    prepared = detector.prepare(picture)
    assert prepared.notes == ()
    wanted = (picture.transpose(2, 0, 1).astype(np.float32) / np.float32(255)).astype(np.float32)
    np.testing.assert_array_equal(prepared.views[0].tensor().numpy(), wanted)


def test_a_large_picture_is_resized_and_that_is_said(detector: PsccNetDetector) -> None:
    prepared = detector.prepare(np.zeros((3000, 4000, 3), np.uint8))
    rows, columns = prepared.views[0].shape
    assert rows * columns <= PIXEL_BUDGET
    assert prepared.notes == (f"resized from 4000x3000 to {columns}x{rows}",)


def test_masks_come_back_at_the_size_of_each_file(detector: PsccNetDetector) -> None:
    pictures = [noisy(48, 64), noisy(5, 31, 1)]
    found = detector.predict(pictures)
    for picture, one in zip(pictures, found, strict=True):
        assert one.mask is not None
        assert one.probability is not None
        assert one.mask.shape == picture.shape[:2]
        assert 0 <= one.mask.min() <= one.mask.max() <= 1
        assert 0 < one.probability < 1
        assert one.notes == (RANDOM,)
    again = detector.predict(pictures[1:])[0]
    assert again.logit == pytest.approx(found[1].logit, abs=1e-6)


def test_probabilities_are_enlarged_and_the_second_class_is_the_forged_one(
    detector: PsccNetDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert detector.card.weights[0].labels == ("authentic", "forged")
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., 128:] = 1.0
    told = PsccMaps((mask, mask, mask, mask), torch.tensor([[-1.0, 2.0]]))
    monkeypatch.setattr(detector.network, "maps", lambda _: told)
    output = detector.logits(torch.zeros(1, 3, 3, 511))
    assert output.logit is not None
    assert output.mask is not None
    assert output.logit.item() == 3.0
    row = output.mask[0, 0, 1].sigmoid()
    # With corners aligned, column 255 of 511 lies half way between columns 127 and 128 of 256.
    assert row[255].item() == pytest.approx(0.5, abs=1e-4)
    assert row[254].item() == pytest.approx(0.0, abs=1e-4)
    assert row[256].item() == pytest.approx(1.0, abs=1e-4)


def test_places_are_folded_as_they_lie_in_memory() -> None:
    torch.manual_seed(1)
    head = NonLocalMask(3, 2).double().eval()
    maps = torch.rand(1, 3, 4, 6, dtype=torch.float64)
    with torch.inference_mode():
        found = head(maps)
    state = {name: tensor.numpy() for name, tensor in head.state_dict().items()}
    folded = maps.numpy().reshape(12, 6)
    value, query, key = (
        state[f"{name}.weight"][:, :, 0, 0] @ folded + state[f"{name}.bias"][:, None] for name in ("g", "theta", "phi")
    )

    def softmax(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        powers = np.exp(numbers - numbers.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))

    places = (softmax(query.T @ key) @ value.T).T.reshape(3, 24)
    channels = (value.T @ softmax(query @ key.T)).reshape(3, 24)
    inner = maps.numpy()[0].reshape(3, 24)
    for name, told in (("s", places), ("c", channels)):
        projected = state[f"W_{name}.weight"][:, :, 0, 0] @ told + state[f"W_{name}.bias"][:, None]
        inner = inner + state[f"gamma_{name}"] * projected
    with torch.inference_mode():
        wanted = head.getmask(torch.from_numpy(inner.reshape(1, 3, 4, 6))).sigmoid()
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("shape", [(1, 1, 64, 64), (3, 64, 64), (1, 3, 0, 64)])
def test_what_the_network_cannot_see_is_refused(detector: PsccNetDetector, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadShape, match="PSCC-Net"):
        detector.network(torch.zeros(shape))


def test_each_of_the_three_files_finds_its_part(detector: PsccNetDetector, tmp_path: Path) -> None:
    weights = detector.card.weights[0]
    state = PsccNetwork().state_dict()
    for file in weights.files:
        part = {key.removeprefix(file.part): value for key, value in state.items() if key.startswith(file.part)}
        path = tmp_path / file.name
        torch.save({f"module.{key}": value for key, value in part.items()}, path)
        found, tensors = fitted(detector, read_tensors(path), weights, path)
        assert found == file.part
        assert set(tensors) == set(part)
    with pytest.raises(BadWeights, match="only a part"):
        load("pscc-net", tmp_path / "NLCDetection.pth")

"""How SparseViT is shown pictures, who attends to whom, and what stands in for its verdict."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from fauxlens.core.errors import BadSetting, BadShape
from fauxlens.detectors.detector import RANDOM
from fauxlens.detectors.load import load
from fauxlens.detectors.sparse_vit import GROUP_SIDES, SparseVit, SparseVitDetector, gathered, spread


@pytest.fixture(scope="module")
def detector() -> SparseVitDetector:
    found = load("sparsevit", "random")
    assert isinstance(found, SparseVitDetector)
    return found


def noisy(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_picture_is_resized_to_512_and_normalised(detector: SparseVitDetector) -> None:
    picture = noisy(300, 700)
    prepared = detector.prepare(picture)
    (view,) = prepared.views
    small = np.asarray(Image.fromarray(picture).resize((512, 512), Image.Resampling.BILINEAR)).astype(np.float64) / 255
    wanted = ((small - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).transpose(2, 0, 1)
    np.testing.assert_allclose(view.tensor().numpy(), wanted, atol=1e-5)
    assert prepared.notes == ("resized from 700x300 to 512x512",)


def test_masks_come_back_at_the_size_of_each_file(detector: SparseVitDetector) -> None:
    pictures = [noisy(40, 56), noisy(77, 31, 1)]
    found = detector.predict(pictures)
    for picture, one in zip(pictures, found, strict=True):
        assert one.mask is not None
        assert one.probability is not None
        assert one.mask.shape == picture.shape[:2]
        assert 0 <= one.mask.min() <= one.mask.max() <= 1
        assert 0 < one.probability < 1
        assert one.notes[-1] == RANDOM
    again = detector.predict(pictures[1:])[0]
    assert again.logit == pytest.approx(found[1].logit, abs=1e-5)


def test_the_verdict_is_the_strongest_place_of_the_mask(
    detector: SparseVitDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    coarse = torch.full((2, 1, 32, 32), -4.0)
    coarse[1, 0, 10:14, 20:24] = 3.0
    monkeypatch.setattr(detector.network, "coarse", lambda _: coarse)
    output = detector.logits(torch.zeros(2, 3, 512, 512))
    assert output.mask is not None
    assert output.logit is not None
    assert output.mask.shape == (2, 1, 512, 512)
    assert output.logit.tolist() == [-4.0, 3.0]
    # A place of the small map is 16 pixels a side in the large one.
    assert output.mask[1, 0, 12 * 16, 22 * 16] == 3.0
    assert output.mask[1, 0, 22 * 16, 12 * 16] == -4.0


@pytest.mark.parametrize("shape", [(1, 3, 256, 256), (1, 3, 1024, 1024), (1, 3, 512, 513), (3, 512, 512)])
def test_other_sizes_are_refused(detector: SparseVitDetector, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadShape, match="one size"):
        detector.network(torch.zeros(shape))


def test_members_of_a_group_lie_evenly_apart_and_find_their_way_back() -> None:
    rows, columns = torch.meshgrid(torch.arange(12), torch.arange(8), indexing="ij")
    grid = torch.stack((rows, columns), dim=-1)[None].expand(2, -1, -1, -1)
    groups = spread(grid, 4)
    assert groups.shape == (2 * 3 * 2, 16, 2)
    for group in groups:
        # 12 rows in groups of 4 lie 3 apart, 8 columns 2 apart.
        assert len({(row % 3, column % 2) for row, column in group.tolist()}) == 1
        assert len({(row, column) for row, column in group.tolist()}) == 16
    assert torch.equal(gathered(groups, grid, 4), grid)


def test_a_map_that_does_not_divide_is_refused() -> None:
    with pytest.raises(BadSetting, match="divide"):
        spread(torch.zeros(1, 10, 8, 2), 4)


def test_at_last_all_places_see_all_others() -> None:
    assert GROUP_SIDES[0][-1] == 512 // 16
    assert GROUP_SIDES[1][-1] == 512 // 32


def test_what_the_file_holds_in_vain_changes_nothing(detector: SparseVitDetector) -> None:
    network = detector.network
    assert isinstance(network, SparseVit)
    batch = torch.from_numpy(np.random.default_rng(2).standard_normal((1, 3, 512, 512))).float()
    before = detector.logits(batch).mask
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    spare = [
        name
        for name in state
        if name.startswith(("encoder_net.norm1.", "encoder_net.norm2."))
        or (name.startswith(("encoder_net.blocks3.", "encoder_net.blocks4.")) and ".pos_embed." in name)
    ]
    assert len(spare) == 2 * 2 + 2 * 27
    try:
        network.load_state_dict(state | {name: state[name] + 1 for name in spare})
        after = detector.logits(batch).mask
    finally:
        network.load_state_dict(state)
    assert before is not None
    assert after is not None
    assert torch.equal(before, after)

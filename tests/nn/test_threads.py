from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from fauxlens.nn.noiseprint import WINOGRAD_FROM, NoiseExtractor
from fauxlens.nn.threads import side_by_side


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(("count", "share"), [(1, 4), (2, 2), (3, 1), (9, 1)])
def test_threads_share_those_of_torch(count: int, share: int) -> None:
    together = threading.Barrier(min(count, 3), timeout=60)

    def work(item: int) -> tuple[int, int]:
        if item < 3:
            together.wait()  # nobody goes on until the others have begun
        return item * item, torch.get_num_threads()

    assert side_by_side(work, range(count)) == [(item * item, share) for item in range(count)]
    assert torch.get_num_threads() == 4
    assert side_by_side(work, []) == []


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("inference", [True, False])
def test_no_graph_is_made(inference: bool) -> None:
    weight = torch.ones(2, requires_grad=True)
    with torch.inference_mode(inference):
        found = side_by_side(lambda factor: weight * factor, [1.0, 2.0])
    assert [one.requires_grad for one in found] == [False, False]
    assert [one.is_inference() for one in found] == [inference, inference]


@pytest.mark.usefixtures("four_threads")
def test_an_error_is_raised_and_the_threads_are_given_back() -> None:
    def work(item: int) -> int:
        if item:
            raise MemoryError("alloc_cpu")
        return item

    with pytest.raises(MemoryError, match="alloc_cpu"):
        side_by_side(work, [0, 1, 2])
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("training", [True, False])
def test_pictures_of_a_batch_are_extracted_side_by_side(training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor, batch = NoiseExtractor(depth=4, width=8).eval(), torch.randn(3, 3, 256, 256)
    if training:
        extractor.winograd_from = WINOGRAD_FROM
    home, seen = threading.get_ident(), []
    real = NoiseExtractor.forward

    def watched(self: NoiseExtractor, image: Tensor) -> Tensor:
        seen.append((len(image), threading.get_ident() == home))
        return real(self, image)

    monkeypatch.setattr(NoiseExtractor, "forward", watched)
    with torch.no_grad():
        found = extractor(batch)
        assert seen == [(3, True)] + [(1, False)] * 3
        alone = torch.cat([extractor(one) for one in batch.split(1)])
    assert seen[4:] == [(1, True)] * 3
    torch.testing.assert_close(found, alone, rtol=1e-5, atol=1e-5)

"""F3Net gives the recorded numbers, and known mistakes do not."""

from __future__ import annotations

import pytest
import torch

import golden_zoo
from fauxlens.detectors import f3net
from fauxlens.detectors.f3net import F3Net, F3NetDetector, LocalFrequencyStatistics, MixBlock

GOLDEN = golden_zoo.golden("f3net")
DECISIVE = "C"
# The logarithm of cosine terms near zero: float32 itself costs more than a hundredth of the features.
ALLOWED = 5e-2
PROBES = {"fad_head": 1e-5, "lfs_head": 2e-4, "mix_block7": 1e-3, "mix_block12": 5e-3}


@pytest.fixture(scope="module")
def network() -> F3Net:
    found = golden_zoo.fill(F3Net(), DECISIVE, GOLDEN.kept)
    assert isinstance(found, F3Net)
    return found


def test_names_shapes_and_count(network: F3Net) -> None:
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == GOLDEN.shapes
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == GOLDEN.facts["n_params"] == F3NetDetector.card.parameters


def test_outputs_and_probes(network: F3Net) -> None:
    wanted = GOLDEN.probes(DECISIVE)
    # A mix block gives two maps, of which the first was recorded.
    readings = {
        name: (network.get_submodule(name), lambda output: output[0] if isinstance(output, tuple) else output)
        for name in wanted
    }
    with torch.inference_mode(), golden_zoo.probing(network, readings) as found:
        output = network(GOLDEN.input("a"))
        classes = network.classes(output.features)
    golden_zoo.assert_close(classes, GOLDEN.output(DECISIVE, "a", "logits"), ALLOWED, "classes")
    golden_zoo.assert_close(output.features[:, ::16], GOLDEN.output(DECISIVE, "a", "feat_every16"), ALLOWED, "features")
    assert output.logit.tolist() == pytest.approx((classes[:, 1] - classes[:, 0]).tolist(), rel=1e-5)
    assert set(found) == set(PROBES)
    for name, share in PROBES.items():
        golden_zoo.assert_probes({name: found[name]}, {name: wanted[name]}, share)


def probed(network: F3Net, name: str) -> float:
    """How far a head is from what was recorded, as a share."""
    module = network.get_submodule(name)
    with torch.inference_mode(), golden_zoo.probing(network, {name: (module, lambda output: output)}) as found:
        module(GOLDEN.input("a"))
    return golden_zoo.worst_share(torch.from_numpy(found[name]), GOLDEN.probes(DECISIVE)[name])


def test_mistakes_in_the_heads_are_seen(network: F3Net, monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = network.lfs_head
    with monkeypatch.context() as patch:
        patch.setattr(f3net, "_GREY_SCALE", 127.5)
        assert probed(network, "lfs_head") > 5 * PROBES["lfs_head"]
    with monkeypatch.context() as patch:
        patch.setattr(statistics.filters[1], "averaged", False)
        assert probed(network, "lfs_head") > 5 * PROBES["lfs_head"]
    with monkeypatch.context() as patch:
        patch.setattr(f3net, "_LOG_FLOOR", 1e-2)
        assert probed(network, "lfs_head") > 5 * PROBES["lfs_head"]
    before = network.fad_head.filters[3].base.clone()
    with torch.no_grad():
        network.fad_head.filters[3].base[0, 0] = 1.0
        found = probed(network, "fad_head")
        network.fad_head.filters[3].base.copy_(before)
    assert found > 5 * PROBES["fad_head"]
    assert probed(network, "fad_head") <= PROBES["fad_head"]
    assert isinstance(statistics, LocalFrequencyStatistics)


@pytest.mark.parametrize("wrong", ["other axis", "scaled", "exchanged"])
def test_mistakes_in_the_mix_are_seen(network: F3Net, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = MixBlock.attention

    def attention(self: MixBlock, fad: torch.Tensor, lfs: torch.Tensor) -> torch.Tensor:
        if wrong == "exchanged":
            return right(self, fad, lfs).mT
        products = self.FAD_query(fad) @ self.FAD_key(fad).mT + self.LFS_query(lfs) @ self.LFS_key(lfs).mT
        return (products / 19**0.5).softmax(-1) if wrong == "scaled" else products.softmax(-2)

    block = network.mix_block7
    wanted = GOLDEN.probes(DECISIVE)["mix_block7"]
    monkeypatch.setattr(MixBlock, "attention", attention)
    readings = {"mix_block7": (block, lambda output: output[0])}
    with torch.inference_mode(), golden_zoo.probing(network, readings) as found:
        network.features(GOLDEN.input("a"))
    assert golden_zoo.worst_share(torch.from_numpy(found["mix_block7"]), wanted) > PROBES["mix_block7"]

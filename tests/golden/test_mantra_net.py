"""ManTra-Net gives the recorded numbers, and known mistakes do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import golden_zoo
from fauxlens.detectors import mantra_net
from fauxlens.detectors.mantra_net import MantraNet, MantraNetDetector

GOLDEN = golden_zoo.golden("mantranet")
# Each sees what the other cannot: A a wrong epsilon, B a deviation that divides by N - 1.
ALLOWED = {"A": 1e-4, "B": 1e-5}


def filled(variant: str) -> MantraNet:
    network = golden_zoo.fill(MantraNet(), variant, GOLDEN.kept)
    assert isinstance(network, MantraNet)
    return network


def off(variant: str, network: MantraNet) -> float:
    with torch.inference_mode():
        return golden_zoo.worst_share(network(GOLDEN.input("a")).mask.sigmoid(), GOLDEN.output(variant, "a", "prob"))


def test_names_shapes_and_count() -> None:
    network = MantraNet()
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == GOLDEN.shapes
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == GOLDEN.facts["n_params"] == MantraNetDetector.card.parameters


@pytest.mark.parametrize("variant", ["A", "B"])
def test_outputs_and_probes(variant: str) -> None:
    network = filled(variant)
    wanted = GOLDEN.probes(variant)
    readings = {name: (network.get_submodule(name), lambda output: output) for name in wanted}
    with torch.inference_mode(), golden_zoo.probing(network, readings) as found:
        traces = network.IMTFE(GOLDEN.input("a"))
        map_logits = network.AnomalyDetector(traces)
        output = network(GOLDEN.input("a"))
    golden_zoo.assert_close(
        traces[..., ::8, ::8], GOLDEN.output(variant, "a", "feat_every8"), ALLOWED[variant], "traces"
    )
    golden_zoo.assert_close(map_logits.sigmoid(), GOLDEN.output(variant, "a", "prob"), ALLOWED[variant], "map")
    assert torch.equal(output.mask, map_logits)
    assert output.logit.tolist() == [float(map_logits.max())]
    # Nearly constant features divided by their own deviation: the smallest differences grow.
    loose = {"AnomalyDetector.pool7"} if variant == "A" else set()
    golden_zoo.assert_probes(
        {name: numbers for name, numbers in found.items() if name not in loose},
        {name: numbers for name, numbers in wanted.items() if name not in loose},
    )
    golden_zoo.assert_probes({n: found[n] for n in loose}, {n: wanted[n] for n in loose}, 1e-3)


def reflected(maps: Tensor, by: int) -> Tensor:
    return F.pad(maps, (by, by, by, by), mode="reflect")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("_NORM_EPSILON", 1e-5), ("_WINDOWS", (31, 15, 7)), ("hard_sigmoid", F.hardsigmoid), ("mirrored", reflected)],
)
def test_mistakes_are_seen(name: str, wrong: float | Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    networks = {variant: filled(variant) for variant in ALLOWED}
    monkeypatch.setattr(mantra_net, name, wrong)
    assert any(off(variant, networks[variant]) > 2 * allowed for variant, allowed in ALLOWED.items())


def test_a_deviation_that_divides_by_one_less_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    network = filled("B")
    monkeypatch.setattr(torch.Tensor, "std", unbiased)
    assert off("B", network) > ALLOWED["B"]


def unbiased(maps: Tensor, dim: tuple[int, ...], correction: int, keepdim: bool) -> Tensor:
    return torch.std(maps, dim=dim, correction=correction + 1, keepdim=keepdim)

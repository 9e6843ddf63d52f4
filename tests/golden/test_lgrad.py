"""LGrad's discriminator gives the recorded score and gradient, its classifier the recorded logit; mistakes do not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import golden_zoo
from fauxlens.detectors import lgrad
from fauxlens.detectors.lgrad import Discriminator, LGrad, LGradDetector, stretched

GOLDEN = golden_zoo.golden("lgrad_d")
CLASSIFIER = golden_zoo.golden("cnnspot")
VARIANT = "U"
GRADIENTS = 1e-3


@pytest.fixture(scope="module")
def network() -> LGrad:
    found = LGrad().eval()
    golden_zoo.fill(found.discriminator, VARIANT, GOLDEN.kept)
    golden_zoo.fill(found.classifier, "B")
    return found


def test_names_shapes_and_count(network: LGrad) -> None:
    def shapes(part: torch.nn.Module) -> dict[str, tuple[int, ...]]:
        return {name: tuple(tensor.shape) for name, tensor in part.state_dict().items()}

    assert shapes(network.discriminator) == GOLDEN.shapes
    assert shapes(network.classifier) == CLASSIFIER.shapes
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == GOLDEN.facts["n_params"] + CLASSIFIER.facts["n_params"] == LGradDetector.card.parameters
    assert {name.split(".")[0] for name in network.state_dict()} == {"discriminator", "classifier"}


def test_score_and_probes(network: LGrad) -> None:
    wanted = GOLDEN.probes(VARIANT)
    part = network.discriminator
    readings = {name: (part.get_submodule(name), lambda output: output) for name in wanted}
    with torch.inference_mode(), golden_zoo.probing(part, readings) as found:
        golden_zoo.assert_close(part(GOLDEN.input("a")), GOLDEN.output(VARIANT, "a", "score"))
    golden_zoo.assert_probes(found, wanted)


def test_gradient_is_there_although_gradients_are_switched_off(network: LGrad) -> None:
    with torch.inference_mode():
        gradient = network.gradient(GOLDEN.input("a"))
        picture = network.picture(GOLDEN.input("a"))
    golden_zoo.assert_close(gradient[..., ::8, ::8], GOLDEN.output(VARIANT, "a", "grad_every8"), GRADIENTS)
    golden_zoo.assert_close(gradient.abs().mean()[None], GOLDEN.output(VARIANT, "a", "grad_absmean"), GRADIENTS)
    recorded = GOLDEN.output(VARIANT, "a", "norm_every8")
    golden_zoo.assert_close(stretched(gradient)[0].permute(1, 2, 0)[::8, ::8], recorded, GRADIENTS)
    # 8 bits: nothing is further from what was recorded than half a step.
    assert torch.equal(picture, picture.byte().float())
    assert (picture[0].permute(1, 2, 0)[::8, ::8] - torch.from_numpy(recorded)).abs().max() <= 0.5 + 255 * GRADIENTS


def test_the_classifier_is_cnnspots(network: LGrad) -> None:
    with torch.inference_mode():
        found = network.classifier(CLASSIFIER.input("a"))
    golden_zoo.assert_close(found, CLASSIFIER.output("B", "a", "logit"))


def off(network: LGrad) -> float:
    return golden_zoo.worst_share(
        network.gradient(GOLDEN.input("a"))[..., ::8, ::8], GOLDEN.output(VARIANT, "a", "grad_every8")
    )


@pytest.mark.parametrize("name", ["slope", "blur", "gain", "in company"])
def test_mistakes_are_seen(network: LGrad, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    part = network.discriminator
    if name == "slope":
        monkeypatch.setattr(lgrad, "_SLOPE", 0.1)
    elif name == "blur":
        monkeypatch.setattr(lgrad.Blur, "forward", lambda self, maps: maps)
    elif name == "gain":
        monkeypatch.setattr(part.layer13, "scale", part.layer13.scale / 2**0.5)
    else:
        image = GOLDEN.input("a")
        alone = Discriminator.forward
        monkeypatch.setattr(Discriminator, "forward", lambda self, seen: alone(self, torch.cat((seen, image.flip(3)))))
    assert off(network) > 5 * GRADIENTS


def test_a_gradient_that_is_flat_is_black() -> None:
    flat: Tensor = torch.full((1, 3, 4, 4), 2.5)
    assert torch.equal(stretched(flat), torch.zeros(1, 3, 4, 4))

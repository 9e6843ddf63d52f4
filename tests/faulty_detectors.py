"""Detectors with one fault each, to see whether the contract notices."""

from __future__ import annotations

import socket
from dataclasses import replace

import torch
from torch import Tensor, nn

from fauxlens.detectors.card import Card
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, normalised, whole


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 1)

    def forward(self, image: Tensor) -> Output:
        features = image.abs().mean(dim=(2, 3))
        return Output(logit=self.head(features)[:, 0], features=features)


class Sound(Detector):
    """Without a fault."""

    card = Card(
        name="faulty", title="Sound", year=2026, family="faulty", tasks=("detect",), paper="none", about="A mean.",
        input="RGB", parameters=4, code="ours", limits=("It knows nothing.",),
    )  # fmt: skip
    network_class: type[nn.Module] = Network

    def build(self) -> nn.Module:
        return self.network_class()

    def prepare(self, pixels: Pixels) -> Prepared:
        return whole(pixels, normalised)


class BlendingNetwork(Network):
    def forward(self, image: Tensor) -> Output:
        return super().forward(image - image.mean(dim=0, keepdim=True) / 10)


class MoodyNetwork(Network):
    def forward(self, image: Tensor) -> Output:
        return super().forward(image + torch.rand(1))


class MisreadingNetwork(Network):
    def forward(self, image: Tensor) -> Output:
        _, colours, height, width = image.shape
        return super().forward(image.as_strided(image.shape, (colours * height * width, height * width, width, 1)))


class ForgetfulNetwork(Network):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.rand(1), persistent=False)

    def forward(self, image: Tensor) -> Output:
        return super().forward(image * self.scale)


class BlindNetwork(Network):
    def forward(self, image: Tensor) -> Output:
        return super().forward(torch.ones_like(image))


class SmallNetwork(Network):
    def forward(self, image: Tensor) -> Output:
        return Output(logit=super().forward(image).logit, mask=image[:, :1, ::2, ::2])


class Blending(Sound):
    network_class = BlendingNetwork


class Moody(Sound):
    network_class = MoodyNetwork


class Misreading(Sound):
    network_class = MisreadingNetwork


class Forgetful(Sound):
    network_class = ForgetfulNetwork


class Blind(Sound):
    network_class = BlindNetwork


class SmallMask(Sound):
    card = replace(Sound.card, tasks=("detect", "localise"))
    network_class = SmallNetwork


class Promising(Sound):
    card = replace(Sound.card, tasks=("detect", "localise"))


class Miscounting(Sound):
    card = replace(Sound.card, parameters=5)


class Silent(Sound):
    card = replace(Sound.card, limits=())


class Calling(Sound):
    def prepare(self, pixels: Pixels) -> Prepared:
        with socket.socket() as line:
            line.connect(("127.0.0.1", 9))
        return super().prepare(pixels)

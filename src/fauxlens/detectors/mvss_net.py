"""MVSS-Net: where a picture was edited, from its colours and its noise, with edges as a second task.

One ResNet-50 sees the picture, another the residual of a constrained (Bayar) convolution over its grey version; both
end at a sixteenth of the size. Position and channel attention over their joined features give the mask. From the first
trunk's four levels a cascade of small blocks draws the edges of edited regions; it only teaches, and no score uses it.

Traps. The released network was trained on pictures in BGR order, minus ImageNet's means in RGB order: blue minus the
red mean. The noise branch computes grey from the normalised values, taking the first channel as blue. Both trunks
carry a 1000-class head that nothing uses.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadShape
from fauxlens.core.names import unknown
from fauxlens.detectors.br_gen import br_gen
from fauxlens.detectors.card import Card, Target, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.option import Option, declared
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, View, Window, normalised
from fauxlens.nn.bayar import BayarConvolution
from fauxlens.nn.resnet import Bottleneck, ResNet

SIDE = 512

_GREY = (0.1140, 0.5870, 0.2989)  # of blue, green and red, the order of the channels
_SOBEL_X = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))
_SOBEL_Y = ((1.0, 2.0, 1.0), (0.0, 0.0, 0.0), (-1.0, -2.0, -1.0))
_LEVELS = (256, 512, 1024, 2048)
_SMALLEST = 32  # below, the dilated convolutions of the last layer see nothing but padding


def trunk() -> ResNet:
    """A ResNet-50 that ends at a sixteenth of the size: its last layer does not stride but dilates, by 1, 2 and 4."""
    return ResNet(Bottleneck, (3, 4, 6, 3), 1000, last_stride=1, last_dilations=(1, 2, 4))


def sobel(channels: int, kernel: tuple[tuple[float, ...], ...]) -> nn.Sequential:
    """One gradient over the sum of all channels, then a batch norm of its own."""
    convolution = nn.Conv2d(channels, 1, 3, padding=1, bias=False)
    convolution.weight = nn.Parameter(torch.tensor(kernel).expand(1, channels, 3, 3).clone(), requires_grad=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(1))


class EdgeBlock(nn.Module):
    """Many channels to one, refined by two small convolutions; the last block of the cascade keeps negative values."""

    def __init__(self, channels: int, *, last: bool = False) -> None:
        super().__init__()
        self.last = last
        self.conv1 = nn.Conv2d(channels, 1, 1)
        self.conv2 = nn.Conv2d(1, 1, 3, padding=1)
        self.bn = nn.BatchNorm2d(1)
        self.conv3 = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 1, H, W)."""
        entering = self.conv1(maps)
        refined = entering + self.conv3(F.relu(self.bn(self.conv2(entering))))
        return refined if self.last else F.relu(refined)


class PositionAttention(nn.Module):
    """Each place gathers from all others by similarity; what it gathers is added, scaled by `alpha`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1))
        self.conv_b = nn.Conv2d(channels, channels // 8, 1)
        self.conv_c = nn.Conv2d(channels, channels // 8, 1)
        self.conv_d = nn.Conv2d(channels, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        query, key, value = (layer(maps).flatten(2).transpose(1, 2)[:, None]
                             for layer in (self.conv_b, self.conv_c, self.conv_d))  # fmt: skip
        gathered = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return self.alpha * gathered[:, 0].transpose(1, 2).reshape(maps.shape) + maps


class ChannelAttention(nn.Module):
    """Each channel gathers from those least like it; what it gathers is added, scaled by `beta`."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(1))

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        flat = maps.flatten(2)
        energy = flat @ flat.transpose(1, 2)
        weights = (energy.amax(dim=-1, keepdim=True) - energy).softmax(dim=-1)
        return self.beta * (weights @ flat).reshape(maps.shape) + maps


class AttentionHead(nn.Module):
    """Features of both trunks -> one map: position and channel attention side by side, summed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 4
        self.conv_p1 = _convolved(channels, inner)
        self.conv_c1 = _convolved(channels, inner)
        self.pam = PositionAttention(inner)
        self.cam = ChannelAttention()
        self.conv_p2 = _convolved(inner, inner)
        self.conv_c2 = _convolved(inner, inner)
        self.out = nn.Sequential(nn.Dropout(0.1), nn.Conv2d(inner, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 1, H, W)."""
        by_position = self.conv_p2(self.pam(self.conv_p1(maps)))
        by_channel = self.conv_c2(self.cam(self.conv_c1(maps)))
        return self.out(by_position + by_channel)  # type: ignore[no-any-return]


class NoiseTrunk(nn.Module):
    """The second trunk, under the name that the released file gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.model = trunk()


class MvssNet(nn.Module):
    """(N, 3, H, W), normalised, first channel blue -> Output with mask logits and their largest as the verdict."""

    def __init__(self) -> None:
        super().__init__()
        self.model = trunk()
        self.noise_extractor = NoiseTrunk()
        self.constrain_conv = BayarConvolution(1, 3, padding=2, stored="around")
        for level, channels in enumerate(_LEVELS, 1):
            setattr(self, f"sobel_x{level}", sobel(channels, _SOBEL_X))
            setattr(self, f"sobel_y{level}", sobel(channels, _SOBEL_Y))
            setattr(self, f"erb_db_{level}", EdgeBlock(channels))
        self.erb_trans_1, self.erb_trans_2, self.erb_trans_3 = EdgeBlock(1), EdgeBlock(1), EdgeBlock(1, last=True)
        self.head = AttentionHead(2 * _LEVELS[-1])

    def noise(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W): three constrained residuals of the grey picture."""
        grey = sum(share * image[:, channel : channel + 1] for channel, share in enumerate(_GREY))
        return self.constrain_conv(grey)  # type: ignore[no-any-return]

    def edges(self, levels: list[Tensor]) -> Tensor:
        """The trunk's four levels -> edge logits (N, 1, H / 4, W / 4)."""
        blocks = [self._edge_features(maps, level) for level, maps in enumerate(levels, 1)]
        size = blocks[0].shape[-2:]
        found = self.erb_trans_1(blocks[0] + _enlarged(blocks[1], size))
        found = self.erb_trans_2(found + _enlarged(blocks[2], size))
        return self.erb_trans_3(found + _enlarged(blocks[3], size))  # type: ignore[no-any-return]

    def _edge_features(self, maps: Tensor, level: int) -> Tensor:
        across = getattr(self, f"sobel_x{level}")(maps)
        down = getattr(self, f"sobel_y{level}")(maps)
        steep = torch.sqrt(across.square() + down.square())
        return getattr(self, f"erb_db_{level}")(steep.sigmoid() * maps)  # type: ignore[no-any-return]

    def segment(self, image: Tensor, levels: list[Tensor]) -> Tensor:
        """The picture and its trunk's levels -> mask logits (N, 1, H, W)."""
        noise = self.noise_extractor.model.maps(self.noise(image))[-1]
        return _enlarged(self.head(torch.cat((levels[-1], noise), dim=1)), image.shape[-2:])

    def maps(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> edge logits (N, 1, H / 4, W / 4) and mask logits (N, 1, H, W), as the authors return them."""
        check_input(image)
        levels = self.model.maps(image)
        return self.edges(levels), self.segment(image, levels)

    def forward(self, image: Tensor) -> Output:
        """(N, 3, H, W) -> Output; the edges teach, so they are not computed here."""
        check_input(image)
        mask = self.segment(image, self.model.maps(image))
        return Output(logit=mask.amax(dim=(1, 2, 3)), mask=mask)


def check_input(image: Tensor) -> None:
    """Refuse what the network cannot see."""
    if image.dim() != 4 or image.shape[1] != 3 or min(image.shape[-2:]) < _SMALLEST:
        raise BadShape(
            "MVSS-Net sees batches of pictures with three channels",
            wanted=f"(N, 3, H, W), sides of at least {_SMALLEST}", got=tuple(image.shape),
        )  # fmt: skip


def _convolved(channels: int, wanted: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, wanted, 3, padding=1, bias=False), nn.BatchNorm2d(wanted), nn.ReLU())


def _enlarged(maps: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=True)


Showing = Literal["bgr", "rgb"]


class MvssNetDetector(Detector):
    """MVSS-Net as a detector. `showing`, which may be changed, is the order in which it is shown the channels.

    bgr  blue first, as the authors' own files want it
    rgb  red first, as files that IMDLBenCo trained want it
    """

    card = Card(
        name="mvss-net",
        title="MVSS-Net",
        year=2021,
        family="mvss-net",
        tasks=("detect", "localise"),
        paper="Chen et al., Image manipulation detection by multi-view multi-scale supervision, ICCV 2021",
        about="Two ResNet-50s, one on the picture and one on the residual of a constrained convolution, joined by "
        "position and channel attention into one map of what was edited. The verdict is the largest value of the map.",
        input="BGR minus ImageNet statistics in RGB order (as released) or RGB, resized to 512x512 by OpenCV",
        parameters=146_880_335,
        code="dong03/MVSS-Net; no licence stated",
        weights=(
            WeightSet(
                name="casia",
                files=(WeightFile(name="mvssnet_casia.pt", source="https://github.com/dong03/MVSS-Net"),),
                licence="none stated",
                use="ask",
                terms="no terms are stated, so all rights are the authors'",
                trained_on="CASIAv2",
            ),
            WeightSet(
                name="defacto",
                files=(
                    WeightFile(
                        name="mvssnet_defacto.pt",
                        source="https://github.com/dong03/MVSS-Net",
                        remark="the file's exact name was not checked",
                    ),
                ),
                licence="none stated",
                use="ask",
                terms="no terms are stated, so all rights are the authors'",
                trained_on="DEFACTO-84k",
            ),
        ),
        targets=(
            *(
                Target(data=data, metric=metric, value=value, source="MVSS-Net, trained on CASIAv2")
                for metric, values in (
                    ("AUC", (0.932, 0.980, 0.731, 0.573)),
                    ("F1", (0.759, 0.802, 0.244, 0.404)),
                    ("pixel F1", (0.452, 0.638, 0.453, 0.137)),
                )
                for data, value in zip(("CASIAv1+", "Columbia", "COVER", "DEFACTO-12k"), values, strict=True)
            ),
            Target(data="IMD", metric="pixel F1", value=0.260, source="MVSS-Net, trained on CASIAv2"),
            *br_gen("mvss-net"),
        ),
        limits=(
            "The verdict is the largest value of the map at 512x512: one bright pixel decides. The authors' evaluation "
            "takes it from the map rounded to 8 bits.",
            "The release ran in half precision; float32 differs slightly.",
            "Shown in the wrong channel order it still answers, differently: the authors' files want blue first, those "
            "that IMDLBenCo trained red first. See `showing`.",
        ),
    )  # fmt: skip

    options = declared(showing=Option(about="the order of the colour channels", choices=("bgr", "rgb")))
    showing: Showing = "bgr"

    def build(self) -> nn.Module:
        """The network."""
        return MvssNet()

    def prepare(self, pixels: Pixels) -> Prepared:
        """Resized to 512x512 without antialiasing, as OpenCV does; channels as `showing` says."""
        if self.showing not in ("bgr", "rgb"):
            raise unknown(self.showing, ("bgr", "rgb"), f"order of channels of {self.card.name}")
        height, width = pixels.shape[:2]
        order = slice(None, None, -1) if self.showing == "bgr" else slice(None)

        def shown() -> Tensor:
            import cv2

            seen = cv2.resize(np.ascontiguousarray(pixels), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
            return normalised(np.asarray(seen, np.uint8)[..., order])

        notes = () if (height, width) == (SIDE, SIDE) else (f"resized from {width}x{height} to {SIDE}x{SIDE}",)
        return Prepared((height, width), (View(Window(0, 0, height, width), (SIDE, SIDE), shown),), notes)

"""ImagiNet's detectors: one ResNet-50 trained to keep real and fake apart, and a small head on top of it.

imaginet           the network of July 2024: strides of one at the start, as in Grag2021; real or fake
imaginet-v0        the first one, of March 2024, whose numbers the project's README prints: ordinary strides
imaginet-identify  ordinary strides, another head: which family of generators made a fake

The network was trained with a contrast of pictures (SelfCon): besides its own embedding it gives one from an exit after
the second layer. Both embeddings, and the heads that make them, are part of the files; a verdict needs neither.

Traps: strides are no part of a file, so no name or shape of the trunk tells the no-down network from the ordinary one;
only the last head does. The head of the first network and of the identifier normalises the features to length one; the
head of the later network does not, and must not.
"""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting
from fauxlens.detectors import published
from fauxlens.detectors.card import Card, Target, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, mirrored_crop, normalised
from fauxlens.nn.resnet import Bottleneck, ResNet

GENERATORS = ("gan", "sd", "midjourney", "dalle3")
"""What the identifier tells apart, in the order of its outputs; the same words as in ImagiNet's manifests."""

_OWNER = "https://github.com/delyan-boychev/imaginet"


class ShortcutBottleneck(Bottleneck):
    """A bottleneck whose projection is called `shortcut`."""

    def __init__(self, channels: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(channels, width, stride, dilation)
        self.shortcut = self.downsample
        del self.downsample

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 4 * width, H / stride, W / stride)."""
        inner = F.relu(self.bn1(self.conv1(maps)))
        inner = F.relu(self.bn2(self.conv2(inner)))
        inner = self.bn3(self.conv3(inner))
        return F.relu(inner + (maps if self.shortcut is None else self.shortcut(maps)))


class Encoder(ResNet):
    """A ResNet-50 without a head, and an exit after its second layer."""

    def __init__(self, *, down: bool) -> None:
        stride = 2 if down else 1
        super().__init__(ShortcutBottleneck, classes=None, stem_stride=stride, pool_stride=stride)
        # Three places for exits, of which the middle one is taken; the names count them.
        self.selfcon_layer = nn.ModuleList((nn.Identity(), nn.Linear(512, self.channels), nn.Identity()))

    def both(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> (N, 2048) from the exit, (N, 2048) from the end."""
        maps = self.maps(image)
        return self.selfcon_layer[1](maps[1].mean(dim=(2, 3))), maps[-1].mean(dim=(2, 3))


class UnitLength(nn.Module):
    """Features to length one."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, C) -> (N, C)."""
        return F.normalize(features, dim=1)


class SelfConNetwork(nn.Module):
    """(N, 3, H, W) ImageNet-normalised RGB -> Output with features and a logit, or with logits of generators.

    `encoder`, `head` and `sub_heads` are the file's table `model`; `classifier` is the table of that name beside it.
    """

    def __init__(self, classifier: nn.Module, *, down: bool) -> None:
        super().__init__()
        self.encoder = Encoder(down=down)
        self.head = _projection()
        self.sub_heads = nn.ModuleList((_projection(),))
        self.classifier = classifier

    def embeddings(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) -> (N, 128) of the exit and (N, 128) of the end, each of length one: what training compares."""
        early, late = self.encoder.both(image)
        return F.normalize(self.sub_heads[0](early), dim=1), F.normalize(self.head(late), dim=1)

    def forward(self, image: Tensor) -> Output:
        """(N, 3, H, W) -> Output."""
        features = self.encoder.pooled(image)
        scores = cast(Tensor, self.classifier(features))
        if scores.shape[1] == 1:
            return Output(logit=scores[:, 0], features=features)
        return Output(generators=scores, features=features)


def _projection() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 128))


def _batch_norm_head() -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm1d(2048), nn.Linear(2048, 1024), nn.ReLU(), nn.Dropout(0.2), nn.Linear(1024, 1)
    )  # fmt: skip


def _unit_length_head(outputs: int) -> nn.Sequential:
    return nn.Sequential(UnitLength(), nn.Linear(2048, 1024), nn.ReLU(), nn.Linear(1024, outputs))


class _Shown(Detector):
    """How all three see a picture. `side` may be changed: its authors' Practical set was cut to 448."""

    # The no-down network's maps are large: four pictures at a time fill a processor.
    batch_limit = 4
    side: int = 256

    def prepare(self, pixels: Pixels) -> Prepared:
        """The middle `side` x `side`, mirrored at the borders of smaller pictures."""
        if self.side < 1:
            raise BadSetting("side is out of range", wanted="at least 1", got=self.side)
        return mirrored_crop(pixels, self.side, normalised)


def _weights(name: str, file: str, labels: tuple[str, ...], remark: str) -> tuple[WeightSet, ...]:
    return (
        WeightSet(
            name=name,
            files=(WeightFile(name=file, source=_OWNER, remark=remark),),
            licence="not checked",
            use="ask",
            terms="the terms of these weights were not checked: see their owner's page; the pictures behind them carry "
            "terms of their own",
            trained_on="ImagiNet's training pictures",
            labels=labels,
        ),
    )


def _means(corvi: tuple[float, float], practical: tuple[float, float], source: str) -> tuple[Target, ...]:
    return tuple(
        Target(data=data, metric=metric, value=value, source=source, remark="after a logistic fit on the test set")
        for data, pair in (("Corvi's set, mean of 12", corvi), ("Practical set, mean of 6", practical))
        for metric, value in zip(("balanced accuracy", "AUC"), pair, strict=True)
    )


_PAPER = "Boychev and Cholakov, ImagiNet: a multi-content benchmark for synthetic image detection, 2024"
_CODE = "delyan-boychev/imaginet; licence not checked"
_CALIBRATION = (
    "Its published numbers come after a logistic fit on 80 pictures of the test set: without one, 0.5 is not its "
    "threshold."
)
_STRIDES = "Files of the other two networks differ only in the last head: the strides are no part of a file."


class ImagiNet(_Shown):
    """ImagiNet's network of July 2024."""

    card = Card(
        name="imaginet",
        title="ImagiNet (SelfCon, no-down)",
        year=2024,
        family="imaginet",
        tasks=("detect",),
        paper=_PAPER,
        about="A no-down ResNet-50 trained to bring pictures of one origin together, fakes of one family too; then a "
        "head with batch norm on its frozen features.",
        input="RGB, ImageNet statistics, the middle 256x256, mirrored where smaller",
        parameters=35_579_201,
        code=_CODE,
        weights=_weights("imaginet", "imaginet_weights.pt", ("fake",), "tables `model` and `classifier` in one file"),
        targets=published.imaginet("imaginet")
        + _means((0.8686, 0.9585), (0.9428, 0.9870), "ImagiNet, its result files of July 2024"),
        limits=(
            _CALIBRATION,
            _STRIDES,
            "Only the middle of a large picture is seen.",
            "About sixteen times the computation of an ordinary ResNet-50.",
        ),
    )

    def build(self) -> nn.Module:
        """No-down, with a batch-norm head."""
        return SelfConNetwork(_batch_norm_head(), down=False)


class ImagiNetFirst(_Shown):
    """ImagiNet's first network."""

    card = Card(
        name="imaginet-v0",
        title="ImagiNet (SelfCon, first network)",
        year=2024,
        family="imaginet",
        tasks=("detect",),
        paper=_PAPER,
        about="An ordinary ResNet-50 trained as ImagiNet's later network, on larger crops; a head on features of "
        "length one.",
        input="RGB, ImageNet statistics, the middle 256x256, mirrored where smaller",
        parameters=35_575_105,
        code=_CODE,
        weights=_weights(
            "imaginet-v0", "imaginet_weights.pt", ("fake",),
            "the file of March 2024, before the network changed; whether it is still offered was not checked",
        ),
        targets=published.imaginet("imaginet-v0")
        + _means((0.8083, 0.8981), (0.9313, 0.9752), "ImagiNet, its first result files"),
        limits=(
            _CALIBRATION,
            _STRIDES,
            "Only the middle of a large picture is seen.",
            "The tables of the project's README are of this network; the project's code loads the later one.",
        ),
    )  # fmt: skip

    def build(self) -> nn.Module:
        """Ordinary strides, a head on unit length."""
        return SelfConNetwork(_unit_length_head(1), down=True)


class ImagiNetIdentify(_Shown):
    """Which family of generators made a fake; it gives no verdict."""

    card = Card(
        name="imaginet-identify",
        title="ImagiNet (which generator)",
        year=2024,
        family="imaginet",
        tasks=("identify",),
        paper=_PAPER,
        about="An ordinary ResNet-50 trained as ImagiNet's, with a head of four outputs on features of length one.",
        input="RGB, ImageNet statistics, the middle 256x256, mirrored where smaller",
        parameters=35_578_180,
        code=_CODE,
        weights=_weights(
            "imaginet-identify", "ckpt_model_detection.pth", GENERATORS,
            "tables `model` and `classifier` in one file",
        ),
        targets=tuple(
            Target(
                data=f"ImagiNet, fakes as they were made, {name}", metric=metric, value=value,
                source="ImagiNet, its README",
            )
            for name, metric, value in (
                ("GAN", "recall", 0.9998),
                ("SD", "recall", 0.9978),
                ("Midjourney", "recall", 0.9964),
                ("DALL-E 3", "recall", 0.9872),
                ("mean", "recall", 0.9953),
                ("all", "AUC, one against the rest", 0.9999),
            )
        ),
        limits=(
            "It has seen fakes only: what it says of a real picture means nothing. Ask a detector first.",
            "It knows four families; whatever else made a picture is told as one of them.",
            "Its numbers are of pictures as they were made, never of compressed ones.",
            _STRIDES,
        ),
    )  # fmt: skip

    def build(self) -> nn.Module:
        """Ordinary strides, four outputs on unit length."""
        return SelfConNetwork(_unit_length_head(len(GENERATORS)), down=True)

    def generator_names(self) -> tuple[str, ...]:
        """The four families, in the order of the outputs."""
        return GENERATORS

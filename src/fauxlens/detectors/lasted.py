"""LASTED: how much a picture looks like real ones, to a CLIP that was taught to tell the four kinds apart in words.

The image tower is the largest of CLIP's residual networks (RN50x64), trained on with four captions: real photo,
synthetic photo, real painting, synthetic painting. At the end nothing reads the captions: a picture is a direction of
1024 numbers, and its score is the cosine with the mean direction of some real pictures, the anchors.

So there is no verdict before anchors were given: `fit_anchors` makes them from pictures, `use_anchors` takes saved
ones. The published files hold none. The trap: the verdict is as good as the anchors are like the real pictures at hand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadSetting, BadShape, BadWeights
from fauxlens.core.files import atomic_path
from fauxlens.detectors import published
from fauxlens.detectors.card import Card, Target, WeightFile, WeightSet
from fauxlens.detectors.checkpoint import check_finite, read_tensors
from fauxlens.detectors.clip import ClipSettings, openai_text_shapes, without
from fauxlens.detectors.detector import PIXELS_AT_ONCE, Detector, pixels_of
from fauxlens.detectors.option import Option, Value, declared
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, View, Window, normalised
from fauxlens.images.facts import SUFFIXES
from fauxlens.images.picture import Picture, read_picture

NO_ANCHORS = (
    "no verdict: LASTED compares with real pictures; give it a folder of them with `--option anchors=FOLDER` "
    "(in Python: fit_anchors)"
)

MOST_ANCHORS = 100
"""As many real pictures as the authors take."""

_PAGE = "https://github.com/HighwayWu/LASTED"
_IMAGINET = "ImagiNet, README"


@dataclass(frozen=True, kw_only=True)
class LastedSettings:
    """The sizes of the image tower, and of the text tower that the released file holds too; by default RN50x64's."""

    side: int = 448
    width: int = 128
    depths: tuple[int, int, int, int] = (3, 15, 36, 10)
    heads: int = 64
    features: int = 1024
    text: ClipSettings = field(default_factory=lambda: ClipSettings(text_width=1024, projection=1024))

    @property
    def channels(self) -> int:
        """Of the last layer."""
        return self.width * 32

    @property
    def places(self) -> int:
        """Of the last layer's grid."""
        return (self.side // 32) ** 2

    def unused_shapes(self) -> dict[str, tuple[int, ...]]:
        """What the released file holds and no answer needs: the text tower and two heads of training."""
        shapes = {f"clip_model.{name}": shape for name, shape in openai_text_shapes(self.text).items()}
        shapes |= {"output_layer.0.weight": (1280, self.features), "output_layer.0.bias": (1280,)}
        shapes |= {"output_layer.2.weight": (512, 1280), "output_layer.2.bias": (512,)}
        return shapes | {"fc.weight": (4, 512), "fc.bias": (4,)}


class PooledBottleneck(nn.Module):
    """A bottleneck whose stride is an average pooling, after the 3x3 convolution and before the shortcut's."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.downsample: nn.Sequential | None = None
        if stride > 1 or channels != 4 * width:
            self.downsample = nn.Sequential(nn.Conv2d(channels, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width))

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 4 * width, H / stride, W / stride)."""
        inner = F.relu(self.bn1(self.conv1(maps)))
        inner = self.pool(F.relu(self.bn2(self.conv2(inner))))
        inner = self.bn3(self.conv3(inner))
        return F.relu(inner + (maps if self.downsample is None else self.downsample(self.pool(maps))))


class AttentionPool(nn.Module):
    """The mean of all places asks the places and itself what the picture is; one answer a picture."""

    def __init__(self, places: int, channels: int, heads: int, features: int) -> None:
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.randn(places + 1, channels) / math.sqrt(channels))
        self.k_proj = nn.Linear(channels, channels)
        self.q_proj = nn.Linear(channels, channels)
        self.v_proj = nn.Linear(channels, channels)
        self.c_proj = nn.Linear(channels, features)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, features)."""
        places = maps.flatten(2).transpose(1, 2)
        tokens = torch.cat([places.mean(dim=1, keepdim=True), places], dim=1) + self.positional_embedding

        def by_head(found: Tensor) -> Tensor:
            return found.unflatten(2, (self.heads, -1)).transpose(1, 2)  # type: ignore[no-any-return, no-untyped-call]

        query, key, value = (
            by_head(self.q_proj(tokens[:, :1])),
            by_head(self.k_proj(tokens)),
            by_head(self.v_proj(tokens)),
        )
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.c_proj(attended.transpose(1, 2).flatten(1))  # type: ignore[no-any-return]


class ClipResNet(nn.Module):
    """CLIP's residual image tower: a stem of three convolutions, pooled strides, attention at the end."""

    def __init__(self, settings: LastedSettings) -> None:
        super().__init__()
        half = settings.width // 2
        self.conv1 = nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, settings.width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(settings.width)
        channels = settings.width
        layers = []
        for number, depth in enumerate(settings.depths):
            width, stride = settings.width * 2**number, 2 if number else 1
            blocks = [PooledBottleneck(channels, width, stride)]
            blocks += [PooledBottleneck(4 * width, width, 1) for _ in range(depth - 1)]
            layers.append(nn.Sequential(*blocks))
            channels = 4 * width
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.attnpool = AttentionPool(settings.places, channels, settings.heads, settings.features)

    def forward(self, batch: Tensor) -> Tensor:
        """(N, 3, side, side) -> (N, features), not normalised."""
        maps = F.relu(self.bn1(self.conv1(batch)))
        maps = F.relu(self.bn2(self.conv2(maps)))
        maps = F.avg_pool2d(F.relu(self.bn3(self.conv3(maps))), 2)
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        return self.attnpool(maps)  # type: ignore[no-any-return]


class Lasted(nn.Module):
    """(N, 3, side, side) -> Output with unit features and no logit; the image half of the released `clip_model`."""

    def __init__(self, settings: LastedSettings | None = None) -> None:
        super().__init__()
        self.clip_model = nn.ModuleDict({"visual": ClipResNet(settings or LastedSettings())})

    def forward(self, batch: Tensor) -> Output:
        """(N, 3, side, side) -> Output."""
        return Output(features=F.normalize(self.clip_model["visual"](batch), dim=-1))


@dataclass(frozen=True, slots=True, eq=False)
class Anchors:
    """What real pictures look like to one set of weights: `direction` (C,), of length one.

    A picture whose cosine with it is below `threshold` counts as fake. `count` pictures were seen by the weights of
    `weights_sha256` (None: random ones).
    """

    direction: Tensor
    threshold: float
    count: int
    weights_sha256: str | None = None

    @classmethod
    def of(cls, features: Tensor, *, false_alarms: float = 0.05, weights_sha256: str | None = None) -> Anchors:
        """From unit features (N, C) of real pictures, at least two.

        The threshold is ours, not the authors': each picture is compared with the mean of the others, and the share
        `false_alarms` of them lies below it. It needs no fake picture and none of the pictures to be judged.
        """
        if features.dim() != 2 or features.shape[0] < 2:
            raise BadShape(
                "anchors are features of several pictures", wanted="(2 or more, C)", got=tuple(features.shape)
            )
        if not 0 < false_alarms < 1:
            raise BadSetting("false_alarms is out of range", wanted="above 0, below 1", got=false_alarms)
        unit = F.normalize(features.detach().double().cpu(), dim=-1)
        total = unit.sum(dim=0)
        others = (F.normalize(total - unit, dim=-1) * unit).sum(dim=-1)
        threshold = float(torch.quantile(others, false_alarms))
        return cls(F.normalize(total, dim=0).float(), threshold, unit.shape[0], weights_sha256)

    def cosine(self, features: Tensor) -> Tensor:
        """Unit features (N, C) -> (N,): the authors' score, high for real."""
        # In float32 the last digit would hang on where the numbers lie in memory, and cosines differ in late digits.
        return features.cpu().double() @ self.direction.double()

    def save(self, path: Path) -> None:
        """Write them as safetensors, whole or not at all."""
        from safetensors.torch import save_file

        tensors = {
            "direction": self.direction.contiguous(),
            "threshold": torch.tensor(self.threshold, dtype=torch.float64),
            "count": torch.tensor(self.count),
            # Words do not fit among tensors, and metadata is lost when a file is converted; bytes do.
            "weights": torch.tensor(list((self.weights_sha256 or "").encode()), dtype=torch.uint8),
        }
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, {"what": "anchors of lasted"})

    @classmethod
    def load(cls, path: Path) -> Anchors:
        """Read what `save` wrote."""
        held = read_tensors(path)
        wanted = {"direction", "threshold", "count", "weights"}
        if set(held) != wanted or held["direction"].dim() != 1 or held["threshold"].numel() != 1:
            raise BadWeights("not a file of anchors", where=path, wanted=sorted(wanted), got=sorted(held)[:6])
        check_finite(held, path)
        digest = bytes(held["weights"].tolist()).decode() or None
        return cls(held["direction"].float(), float(held["threshold"]), int(held["count"]), digest)


class LastedDetector(Detector):
    """The detector of Wu, Zhou and Zhang."""

    sizes: ClassVar[LastedSettings] = LastedSettings()

    card = Card(
        name="lasted",
        title="LASTED",
        year=2023,
        family="lasted",
        tasks=("detect",),
        paper="Wu, Zhou and Zhang, Generalizable synthetic image detection via language-guided contrastive learning, "
        "2023",
        about="CLIP RN50x64, trained on with captions that say real or synthetic, photo or painting. A picture is "
        "compared with the mean of some real pictures, the anchors, which its user must give.",
        input="ImageNet statistics, the middle 448x448 at native size; smaller pictures are mirrored at their borders",
        parameters=420_380_352,
        code="HighwayWu/LASTED; MIT",
        weights=(
            WeightSet(
                name="released",
                files=(
                    WeightFile(
                        name="LASTED_pretrained.pt",
                        source=_PAGE,
                        remark="about 2.5 GB (not measured), 625,228,229 parameters; its text tower and two heads are "
                        "left out. It lies in a drive folder that the page links",
                    ),
                ),
                licence="MIT (the code; the drive folder states no terms of its own)",
                use="open",
                terms="no terms beside the code's MIT; its data sets ask for a signed form, and the model card of "
                "CLIP, from which it starts, calls any deployed use out of scope",
                trained_on="real and synthetic photos and paintings, with captions",
                labels=(),
            ),
        ),
        targets=(
            Target(data="ImagiNet, mean of the groups", metric="balanced accuracy", value=0.5892, source=_IMAGINET),
            Target(data="ImagiNet, mean of the groups", metric="AUC", value=0.6116, source=_IMAGINET),
            Target(data="ImagiNet, GAN", metric="balanced accuracy", value=0.6508, source=_IMAGINET),
            Target(data="ImagiNet, GAN", metric="AUC", value=0.6971, source=_IMAGINET),
            Target(data="ImagiNet, SD", metric="balanced accuracy", value=0.6367, source=_IMAGINET),
            Target(data="ImagiNet, SD", metric="AUC", value=0.6718, source=_IMAGINET),
            Target(data="ImagiNet, Midjourney", metric="balanced accuracy", value=0.5326, source=_IMAGINET),
            Target(data="ImagiNet, Midjourney", metric="AUC", value=0.5289, source=_IMAGINET),
            Target(data="ImagiNet, DALL-E 3", metric="balanced accuracy", value=0.5368, source=_IMAGINET),
            Target(data="ImagiNet, DALL-E 3", metric="AUC", value=0.5482, source=_IMAGINET),
            *published.milliseconds("lasted"),
        ),
        limits=(
            "It gives no verdict without anchors: real pictures of the kind that is asked about.",
            "The logit is the anchors' threshold minus the cosine, so its sigmoid stays near one half and is no "
            "chance. The threshold is ours: a share of the anchors, each left out in turn, lies below it.",
            "The authors draw up to 100 anchors at random from the test list, and their accuracy takes its threshold "
            "from the test pictures: the middle of the list of thresholds of the ROC curve, or two clusters that are "
            "named afterwards. Their accuracies cannot be had on pictures that come one by one.",
            "ImagiNet fixes a list of 100 anchors and fits a logistic calibration; all 100 are members of its test "
            "set.",
            "The text tower and the two unused heads of the released file (204,847,877 parameters) are no part of this "
            "network.",
            "A picture below 448 pixels is seen with mirrored borders, a larger one only in its middle.",
        ),
    )  # fmt: skip

    options = declared(
        anchors=Option(
            about="a file of anchors, or a folder of real pictures to make them of (the first 100)",
            path=True,
            none=True,
        )
    )

    def __init__(self, setting: str | None = None) -> None:
        super().__init__(setting)
        self.anchors: Anchors | None = None

    def build(self) -> nn.Module:
        """The image tower."""
        return Lasted(self.sizes)

    def prepare(self, pixels: Pixels) -> Prepared:
        """The middle square at native size, mirrored outwards where the picture is smaller."""
        height, width = pixels.shape[:2]
        side = self.sizes.side
        rows, columns = min(height, side), min(width, side)
        # Rounded down, on both sides of `side`: the order in which the authors' library pads, then crops.
        window = Window((height - rows) // 2, (width - columns) // 2, rows, columns)
        top, left = (side - rows) // 2, (side - columns) // 2

        def tensor() -> Tensor:
            around = ((top, side - rows - top), (left, side - columns - left), (0, 0))
            return normalised(np.pad(window.of(pixels), around, mode="reflect"))

        notes = []
        if height > side or width > side:
            notes.append(f"only the middle {columns}x{rows} of {width}x{height} was seen")
        if height < side or width < side:
            notes.append(f"mirrored at its borders from {columns}x{rows} to {side}x{side}")
        if self.anchors is None:
            notes.append(NO_ANCHORS)
        return Prepared((height, width), (View(window, (side, side), tensor),), tuple(notes))

    def join(self, prepared: Prepared, outputs: Sequence[Output], mask: Tensor | None) -> float | None:
        """The threshold of the anchors minus the cosine with them; None without anchors."""
        if self.anchors is None:
            return None
        features = cast(Tensor, outputs[0].features)
        return self.anchors.threshold - float(self.anchors.cosine(features)[0])

    def _set(self, name: str, value: Value) -> None:
        path = None if value is None else Path(str(value))
        if path is None or not path.is_dir():
            self.use_anchors(path)
            return
        found = sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())
        self.fit_anchors([read_picture(one) for one in found[:MOST_ANCHORS]])

    def features(self, pictures: Sequence[Picture | Pixels]) -> Tensor:
        """(N, 1024) unit features of pictures, on the processor."""
        at_once = max(1, PIXELS_AT_ONCE["cpu"] // self.sizes.side**2)
        self.network.eval()
        found = [torch.empty(0, self.sizes.features)]
        for start in range(0, len(pictures), at_once):
            group = [
                self.prepare(pixels_of(picture)).views[0].tensor() for picture in pictures[start : start + at_once]
            ]
            found.append(cast(Tensor, self.logits(torch.stack(group).to(self.device)).features).cpu())
        return torch.cat(found)

    def fit_anchors(self, pictures: Sequence[Picture | Pixels], *, false_alarms: float = 0.05) -> Anchors:
        """Make anchors from real pictures (the authors take up to 100) and use them from now on."""
        if len(pictures) < 2:
            raise BadSetting("anchors are made of several real pictures", wanted="at least 2", got=len(pictures))
        self.anchors = Anchors.of(
            self.features(pictures), false_alarms=false_alarms, weights_sha256=self.weights.sha256
        )
        return self.anchors

    def use_anchors(self, anchors: Anchors | Path | None) -> None:
        """Use anchors that were made before, with these same weights; None goes back to having none."""
        if isinstance(anchors, Path):
            anchors = Anchors.load(anchors)
        if anchors is not None:
            if anchors.weights_sha256 != self.weights.sha256:
                raise BadWeights(
                    "the anchors were made with other weights", wanted=self.weights.sha256 or "random weights",
                    got=anchors.weights_sha256 or "random weights", hint="make them again with fit_anchors",
                )  # fmt: skip
            if anchors.direction.shape != (self.sizes.features,):
                raise BadShape(
                    "the anchors are of another size", wanted=(self.sizes.features,), got=tuple(anchors.direction.shape)
                )
        self.anchors = anchors

    def convert(
        self, state: dict[str, Tensor], weights: WeightSet | None, file: WeightFile | None
    ) -> dict[str, Tensor]:
        """The released file without what no answer needs, where its names and shapes are the expected ones."""
        return without(state, self.sizes.unused_shapes())

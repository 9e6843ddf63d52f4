"""ResNet-50 classifiers: CNNSpot, Grag2021, Corvi2022, and the one that GenImage and UnbiasedGenImage train.

All four hold the same tensors under the same names, so a file of one loads into another without a word and answers
nonsense. What differs is not in the file: whether the first convolution and the pooling go in steps of two or of one,
which of two classes is the fake, and how large a picture is shown.

cnnspot    ordinary strides, one logit
grag2021   strides of one at the start ("no-down"): the finest traces survive, at sixteen times the cost
corvi2022  the same network twice, trained on latent diffusion and on ProGAN; the mean of both logits
resnet50   ordinary strides, two classes, whose order depends on who trained it
"""

from __future__ import annotations

from typing import Literal, cast

from torch import Tensor, nn

from fauxlens.core.errors import BadSetting
from fauxlens.core.names import unknown
from fauxlens.detectors import published
from fauxlens.detectors.card import Card, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.option import Option, declared
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import (
    Pixels,
    Prepared,
    View,
    Window,
    centre_crop,
    normalised,
    resized_crop,
    shorter_side_size,
    whole,
)
from fauxlens.nn.resnet import Block, Bottleneck, ResNet

_CNNSPOT = "https://github.com/PeterWang512/CNNDetection"
_GRAG = "https://github.com/grip-unina/GANimageDetection"
_CORVI = "https://github.com/grip-unina/DMimageDetection"
_IMAGINET = "https://github.com/delyan-boychev/imaginet"

_GRIP_LICENCE = "GRIP-UNINA non-profit licence"
_GRIP_TERMS = "informational and non-profit use only; keep the notices and cite"


class Classifier(ResNet):
    """(N, 3, H, W) prepared -> Output with logit and features, from a ResNet-50, or -34 with a `BasicBlock`.

    `fake` is which output stands for fake when there are two; `down` False takes the first steps at full resolution.
    """

    def __init__(self, block: type[Block] = Bottleneck, *, classes: int = 1, fake: int = 0, down: bool = True) -> None:
        stride = 2 if down else 1
        super().__init__(block, classes=classes, stem_stride=stride, pool_stride=stride)
        self.fake = fake

    def scores(self, features: Tensor) -> Tensor:
        """(N, channels) -> (N, classes): the outputs of the last layer, as released."""
        return cast(Tensor, cast(nn.Linear, self.fc)(features))

    def logit_map(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, classes, h, w): the last layer applied at each place instead of to their mean."""
        maps = self.maps(image)[-1].movedim(1, -1)
        return self.scores(maps).movedim(-1, 1)

    def forward(self, image: Tensor) -> Output:  # type: ignore[override]
        """(N, 3, H, W) -> Output. The mean of the maps' logits is the logit of their mean."""
        features = self.pooled(image)
        scores = self.scores(features)
        logit = scores[:, 0] if scores.shape[1] == 1 else scores[:, self.fake] - scores[:, 1 - self.fake]
        return Output(logit=logit, features=features)


class Pair(nn.Module):
    """Two no-down classifiers; the logit is the mean of theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.latent = Classifier(down=False)
        self.progan = Classifier(down=False)

    def forward(self, image: Tensor) -> Output:
        """(N, 3, H, W) -> Output."""
        both = cast(Tensor, self.latent(image).logit) + cast(Tensor, self.progan(image).logit)
        return Output(logit=both / 2)


Showing = Literal["crop", "native", "resize-crop"]


class CnnSpot(Detector):
    """CNNSpot. `showing`, which may be changed, says what of a picture it sees.

    crop         the middle 224x224, as in the paper's tests; smaller pictures get a black border
    native       all of it at its own size, which its authors found better
    resize-crop  shorter side to 256, then the middle 224x224, as several benchmarks do
    """

    card = Card(
        name="cnnspot",
        title="CNNSpot",
        year=2020,
        family="resnet50",
        tasks=("detect",),
        paper="Wang et al., CNN-generated images are surprisingly easy to spot... for now, CVPR 2020",
        about="A ResNet-50 that saw one generator, ProGAN, and many blurred and compressed copies of its pictures. "
        "What it learnt carried over to other GANs of its time.",
        input="RGB, ImageNet statistics, the middle 224x224",
        parameters=23_510_081,
        code="PeterWang512/CNNDetection; CC BY-NC-SA 4.0",
        weights=tuple(
            WeightSet(
                name=f"blur-jpg-{share}",
                files=(
                    WeightFile(
                        name=f"blur_jpg_prob{share}.pth",
                        source=_CNNSPOT,
                        remark="holds the optimiser's state as well, which is left out",
                    ),
                ),
                licence="CC BY-NC-SA 4.0",
                use="non-commercial",
                terms="share alike, name the authors, no commercial use",
                trained_on=f"720,000 pictures of 20 LSUN classes and ProGAN; blur and JPEG each with chance {share}",
            )
            for share in ("0.5", "0.1")
        ),
        targets=tuple(
            target
            for share, metric, values in (
                ("0.5", "accuracy", (100, 73.4, 59.0, 80.8, 81.0, 79.3, 87.6, 94.1, 78.3, 50.0, 51.1, 68.4, 63.9)),
                ("0.5", "AP", (100, 98.5, 88.2, 96.8, 95.4, 98.1, 98.9, 99.5, 92.7, 63.9, 66.3, 98.0, 88.8)),
                ("0.1", "accuracy", (100, 87.1, 70.2, 85.2, 91.7, 78.9, 86.3, 86.2, 90.3, 50.5, 53.5, 84.4, 83.6)),
                ("0.1", "AP", (100, 99.6, 84.5, 93.5, 98.2, 89.5, 98.2, 98.4, 97.2, 70.5, 89.0, 99.1, 93.2)),
            )
            for target in published.shares(
                dict(
                    zip(
                        ("ProGAN", "StyleGAN", "BigGAN", "CycleGAN", "StarGAN", "GauGAN", "CRN", "IMLE", "SITD", "SAN",
                         "Deepfake", "StyleGAN2", "WFIR"),
                        values,
                        strict=True,
                    )
                ),
                set_name="ForenSynths", metric=metric, source="CNNDetection, its README", remark=f"file {share}, 224",
            )
        )
        + published.genimage("cnnspot"),
        limits=(
            "How a picture is shown changes the numbers: the paper cuts the middle 224x224 out of the file, several "
            "benchmarks resize it first. See `showing`.",
            "It has seen one GAN, of the time before diffusion models.",
            "GenImage's numbers are of its own training, not of these files.",
        ),
    )  # fmt: skip

    options = declared(showing=Option(about="how a picture is shown", choices=("crop", "native", "resize-crop")))
    showing: Showing = "crop"

    def build(self) -> nn.Module:
        """An ordinary ResNet-50 with one logit."""
        return Classifier()

    def prepare(self, pixels: Pixels) -> Prepared:
        """As `showing` says."""
        if self.showing == "crop":
            return centre_crop(pixels, 224, normalised)
        if self.showing == "native":
            return whole(pixels, normalised)
        if self.showing == "resize-crop":
            return resized_crop(pixels, shorter_side_size(pixels.shape, 256), 224, normalised)
        raise unknown(self.showing, ("crop", "native", "resize-crop"), f"way to show a picture to {self.card.name}")


class NoDownDetector(Detector):
    """What the two detectors of GRIP-UNINA share: native size, very large pictures in tiles.

    A picture with both sides above `tile_above` is cut into tiles of `tile_side` without overlap, those at the right
    and lower border smaller; their logits are averaged, weighted by area. None: never cut.
    """

    # Its maps are sixteen times those of an ordinary ResNet-50: one picture fills a processor.
    batch_limit = 1
    options = declared(
        tile_above=Option(about="pictures with both sides longer are cut into tiles", smallest=1, none=True),
        tile_side=Option(about="the side of such a tile", smallest=1),
    )
    tile_above: int | None = 1536
    tile_side: int = 1024

    def prepare(self, pixels: Pixels) -> Prepared:
        """The whole picture, or its tiles."""
        height, width = pixels.shape[:2]
        if self.tile_above is None or min(height, width) <= self.tile_above:
            return whole(pixels, normalised)
        if self.tile_side < 1:
            raise BadSetting("tile_side is out of range", wanted="at least 1", got=self.tile_side)
        return plain_tiles(pixels, self.tile_side)


def plain_tiles(pixels: Pixels, side: int) -> Prepared:
    """The picture in tiles of `side` x `side` from the upper left, without overlap; the last ones are smaller."""
    height, width = pixels.shape[:2]
    windows = [
        Window(top, left, min(side, height - top), min(side, width - left))
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]
    views = tuple(
        View(window, (window.height, window.width), lambda window=window: normalised(window.of(pixels)))  # type: ignore[misc]
        for window in windows
    )
    return Prepared((height, width), views, (f"seen in {len(views)} tiles of at most {side}x{side}",))


def _no_down(name: str, file: str, source: str, trained_on: str, setting: str | None = None) -> WeightSet:
    ours = source in (_GRAG, _CORVI)
    return WeightSet(
        name=name,
        files=(WeightFile(name=file, source=source),),
        licence=_GRIP_LICENCE if ours else "not checked",
        use="research-only" if ours else "ask",
        terms=_GRIP_TERMS if ours else "the terms of these weights were not checked: see their owner's page",
        trained_on=trained_on,
        setting=setting,
    )


class Grag2021(NoDownDetector):
    """Grag2021: a ResNet-50 that takes its first steps at full resolution."""

    card = Card(
        name="grag2021",
        title="Grag2021 (ResNet-50 no-down)",
        year=2021,
        family="resnet50",
        tasks=("detect",),
        paper="Gragnaniello et al., Are GAN generated images easy to detect? A critical analysis of the "
        "state-of-the-art, ICME 2021",
        about="CNNSpot's ResNet-50 with strides of one in its first convolution and pooling, and stronger "
        "augmentation. Traces at the scale of a pixel reach the deeper layers.",
        input="RGB, ImageNet statistics, native size; in tiles of 1024 where both sides exceed 1536",
        parameters=23_510_081,
        code="grip-unina/GANimageDetection; GRIP-UNINA non-profit licence",
        weights=(
            _no_down(
                "stylegan2", "gandetection_resnet50nodown_stylegan2.pth", _GRAG, "720,000 pictures, real and StyleGAN2"
            ),
            _no_down("progan", "gandetection_resnet50nodown_progan.pth", _GRAG, "720,000 pictures, real and ProGAN"),
        ),
        targets=published.imaginet("grag2021"),
        limits=(
            "Needs about sixteen times the memory of an ordinary ResNet-50: a long narrow picture is not cut, since "
            "the rule looks at both sides.",
            "ImagiNet's numbers are of the StyleGAN2 file.",
            "A file of CNNSpot has the same names and shapes: it loads, and its answers mean nothing.",
        ),
    )

    def build(self) -> nn.Module:
        """One no-down classifier."""
        return Classifier(down=False)


class Corvi2022(NoDownDetector):
    """Corvi2022: two no-down classifiers, or (setting `single`) one of them alone."""

    settings = ("mean", "single")
    card = Card(
        name="corvi2022",
        title="Corvi2022",
        year=2022,
        family="resnet50",
        tasks=("detect",),
        paper="Corvi et al., On the detection of synthetic images generated by diffusion models, ICASSP 2023",
        about="Grag2021's network trained on latent diffusion, beside the same trained on ProGAN; the verdict is the "
        "mean of both logits. Each looks at every place of the picture and averages what it finds.",
        input="RGB, ImageNet statistics, native size; in tiles of 1024 where both sides exceed 1536",
        parameters=47_020_162,
        code="grip-unina/DMimageDetection; GRIP-UNINA non-profit licence",
        weights=(
            WeightSet(
                name="latent+progan",
                files=(
                    WeightFile(name="Grag2021_latent/model_epoch_best.pth", source=_CORVI, part="latent."),
                    WeightFile(name="Grag2021_progan/model_epoch_best.pth", source=_CORVI, part="progan."),
                ),
                licence=_GRIP_LICENCE,
                use="research-only",
                terms=_GRIP_TERMS,
                trained_on="200,000 pictures of latent diffusion and 200,000 of COCO and LSUN; ProGAN",
            ),
            _no_down(
                "latent", "Grag2021_latent/model_epoch_best.pth", _CORVI,
                "200,000 pictures of latent diffusion and 200,000 of COCO and LSUN", "single",
            ),
            _no_down("progan", "Grag2021_progan/model_epoch_best.pth", _CORVI, "ProGAN", "single"),
            _no_down("imaginet", "model_epoch_best.pth", _IMAGINET, "ImagiNet", "single"),
        ),
        targets=published.imaginet("corvi2022"),
        limits=(
            "Its authors' tests never cut a picture; cutting very large ones, as Grag2021 does, is ours. "
            "`tile_above = None` takes it away.",
            "Needs about sixteen times the memory of an ordinary ResNet-50.",
            "Both files bear the same name and the same tensors; only their folders tell them apart.",
            "Some benchmarks resize to 256 and cut 224 out: another measurement.",
        ),
    )  # fmt: skip

    def build(self) -> nn.Module:
        """Two classifiers or one."""
        return Pair() if self.setting == "mean" else Classifier(down=False)


class GenImageResNet50(Detector):
    """The ResNet-50 that GenImage and UnbiasedGenImage train: two classes in an order that the file does not tell.

    Setting `genimage`: fake is output 0 (folders `ai`, `nature` in alphabetical order); `unbiased`: output 1.
    """

    settings = ("genimage", "unbiased")
    card = Card(
        name="resnet50",
        title="ResNet-50 (GenImage, UnbiasedGenImage)",
        year=2023,
        family="resnet50",
        tasks=("detect",),
        paper="Zhu et al., GenImage: a million-scale benchmark for detecting AI-generated image, NeurIPS 2023; "
        "Grommelt et al., Fake or JPEG? Revealing common biases in generated image detection datasets, 2024",
        about="An ordinary ResNet-50 of the timm library with two classes, trained from scratch: the yardstick of both "
        "benchmarks.",
        input="RGB, ImageNet statistics, shorter side to 235 (bicubic), the middle 224x224",
        parameters=23_512_130,
        code="GenImage-Dataset/GenImage and gendetection/UnbiasedGenImage, on timm 0.6.12 (Apache-2.0)",
        weights=(
            published.trained_by_genimage("model_best.pth.tar", "timm"),
            published.trained_by_unbiased_genimage("model_best.pth.tar"),
        ),
        targets=published.genimage("resnet50") + published.unbiased("resnet50"),
        limits=published.LABEL_ORDERS,
    )  # fmt: skip

    def build(self) -> nn.Module:
        """An ordinary ResNet-50 with two classes."""
        return Classifier(classes=2, fake=0 if self.setting == "genimage" else 1)

    def prepare(self, pixels: Pixels) -> Prepared:
        """Shorter side to 224 / 0.95, bicubic, then the middle."""
        return resized_crop(pixels, shorter_side_size(pixels.shape, 235), 224, normalised, "bicubic")

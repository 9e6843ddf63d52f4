"""F3Net: a picture in frequency bands and as local frequency statistics, two Xceptions that ask each other.

FAD splits the picture by its cosine transform into three bands and a whole one, each back as a picture. LFS counts, in
10x10 windows, how strong six local bands are. Each view has an Xception; after the seventh and the twelfth block, each
tells the other where to look. The two vectors, side by side, give two classes.

Traps. The picture is always 299x299: the transform's matrices, stored in the file, know no other size. No band keeps
the mean colour. The grey values that LFS sees are (x + 1) * 122.5, not 127.5. The logarithm of cosine terms near zero
magnifies rounding: two correct builds differ by up to a percent or two.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadShape
from fauxlens.detectors import published
from fauxlens.detectors.card import Card
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, normalised, resized
from fauxlens.nn.xception import Xception

SIDE = 299

_BANDS = ((0, 18), (18, 37), (37, 299), (0, 598))  # of row + column in the cosine transform, the lower end left out
_GREY = (0.299, 0.587, 0.114)
_GREY_SCALE = 122.5
_WINDOW, _STEP, _BORDER = 10, 2, 4
_LOCAL_BANDS = 6
_LOG_FLOOR = 1e-15


def cosine_transform(side: int) -> Tensor:
    """(side, side): the orthonormal DCT-II; row k holds the k-th cosine."""
    # In double precision: the angles of a large transform are large.
    frequency = torch.arange(side, dtype=torch.float64)[:, None]
    place = torch.arange(side, dtype=torch.float64)[None] + 0.5
    rows = torch.cos(math.pi / side * frequency * place) * math.sqrt(2.0 / side)
    rows[0] /= math.sqrt(2.0)
    return rows.float()


def band(side: int, low: float, high: float) -> Tensor:
    """(side, side): 1 where low < row + column <= high, else 0."""
    total = torch.arange(side)[:, None] + torch.arange(side)[None]
    return ((total > low) & (total <= high)).float()


def constant(value: Tensor) -> nn.Parameter:
    """Part of the file and counted in it, but never trained."""
    return nn.Parameter(value, requires_grad=False)


class BandFilter(nn.Module):
    """A band of a cosine transform, each term's share changed by up to one; `averaged` divides by the band's size."""

    def __init__(self, side: int, low: float, high: float, *, averaged: bool = False) -> None:
        super().__init__()
        self.base = constant(band(side, low, high))
        self.learnable = nn.Parameter(torch.randn(side, side) * 0.1)
        self.averaged = averaged
        if averaged:
            self.ft_num = constant(self.base.sum())

    def forward(self, terms: Tensor) -> Tensor:
        """(..., side, side) -> the same shape."""
        kept = terms * (self.base + 2.0 * self.learnable.sigmoid() - 1.0)
        return kept / self.ft_num if self.averaged else kept


class FrequencyAwareDecomposition(nn.Module):
    """(N, 3, 299, 299) -> (N, 12, 299, 299): the picture in three bands, low to high, and in all."""

    def __init__(self, side: int = SIDE) -> None:
        super().__init__()
        self._DCT_all = constant(cosine_transform(side))
        self._DCT_all_T = constant(cosine_transform(side).T.contiguous())
        self.filters = nn.ModuleList(BandFilter(side, low, high) for low, high in _BANDS)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 12, H, W)."""
        terms = self._DCT_all @ image @ self._DCT_all_T
        return torch.cat([self._DCT_all_T @ kept(terms) @ self._DCT_all for kept in self.filters], dim=1)


class LocalFrequencyStatistics(nn.Module):
    """(N, 3, 299, 299) in -1..1 -> (N, 6, 149, 149): mean log strength of six bands in windows around each place."""

    def __init__(self, window: int = _WINDOW) -> None:
        super().__init__()
        self.window = window
        self._DCT_patch = constant(cosine_transform(window))
        self._DCT_patch_T = constant(cosine_transform(window).T.contiguous())
        width = 2.0 * window / _LOCAL_BANDS
        self.filters = nn.ModuleList(
            BandFilter(window, width * number, width * (number + 1), averaged=True) for number in range(_LOCAL_BANDS)
        )

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 6, h, w)."""
        red, green, blue = image[:, 0:1], image[:, 1:2], image[:, 2:3]
        grey = ((_GREY[0] * red + _GREY[1] * green + _GREY[2] * blue) + 1.0) * _GREY_SCALE
        height, width = ((side + 2 * _BORDER - self.window) // _STEP + 1 for side in image.shape[-2:])
        windows = F.unfold(grey, self.window, padding=_BORDER, stride=_STEP)  # (N, window * window, places)
        windows = windows.transpose(1, 2).reshape(image.shape[0], -1, self.window, self.window)
        strength = torch.log10((self._DCT_patch @ windows @ self._DCT_patch_T).abs() + _LOG_FLOOR)
        bands = torch.stack([kept(strength).sum(dim=(2, 3)) for kept in self.filters], dim=1)
        return bands.reshape(image.shape[0], -1, height, width)


class MixBlock(nn.Module):
    """Two views of the same places: what both find alike tells each where to take from the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.FAD_gamma, self.LFS_gamma = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.FAD_query, self.LFS_query = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.FAD_key, self.LFS_key = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.FAD_conv = nn.Conv2d(channels, channels, 1, groups=channels)
        self.LFS_conv = nn.Conv2d(channels, channels, 1, groups=channels)
        self.FAD_bn, self.LFS_bn = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def attention(self, fad: Tensor, lfs: Tensor) -> Tensor:
        """Both (N, C, S, S) -> (N, C, S, S): of each channel, rows over columns, each row summing to one."""
        # Queries side by side times keys on top of each other is the sum of the two products.
        products = self.FAD_query(fad) @ self.FAD_key(fad).mT + self.LFS_query(lfs) @ self.LFS_key(lfs).mT
        return products.softmax(dim=-1)  # type: ignore[no-any-return]

    def forward(self, fad: Tensor, lfs: Tensor) -> tuple[Tensor, Tensor]:
        """Both (N, C, S, S) -> both."""
        weights = self.attention(fad, lfs)
        from_lfs = lfs * weights * (2.0 * self.LFS_gamma.sigmoid() - 1.0)
        from_fad = fad * weights * (2.0 * self.FAD_gamma.sigmoid() - 1.0)
        return fad + self.FAD_bn(self.FAD_conv(from_lfs)), lfs + self.LFS_bn(self.LFS_conv(from_fad))


class F3Net(nn.Module):
    """(N, 3, 299, 299) RGB in -1..1 -> Output; `fake` is the class that stands for fake, 0 or 1."""

    def __init__(self, fake: int = 1) -> None:
        super().__init__()
        self.fake = fake
        self.fad_head = FrequencyAwareDecomposition()
        self.lfs_head = LocalFrequencyStatistics()
        self.fad_excep = Xception(12)
        self.lfs_excep = Xception(6, stem_stride=1)
        self.mix_block7 = MixBlock(728)
        self.mix_block12 = MixBlock(1024)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(4096, 2)

    def features(self, image: Tensor) -> Tensor:
        """(N, 3, 299, 299) -> (N, 4096): what the two trunks found, FAD's first."""
        if image.dim() != 4 or tuple(image.shape[1:]) != (3, SIDE, SIDE):
            raise BadShape("F3Net sees batches of RGB", wanted=f"(N, 3, {SIDE}, {SIDE})", got=tuple(image.shape))
        fad = self.fad_excep.blocks(self.fad_excep.stem(self.fad_head(image)), 1, 7)
        lfs = self.lfs_excep.blocks(self.lfs_excep.stem(self.lfs_head(image)), 1, 7)
        fad, lfs = self.mix_block7(fad, lfs)
        fad, lfs = self.fad_excep.blocks(fad, 8, 12), self.lfs_excep.blocks(lfs, 8, 12)
        fad, lfs = self.mix_block12(fad, lfs)
        return torch.cat((self.fad_excep.pooled(fad), self.lfs_excep.pooled(lfs)), dim=1)

    def classes(self, features: Tensor) -> Tensor:
        """(N, 4096) -> the two classes' logits (N, 2)."""
        return self.fc(self.dropout(features))  # type: ignore[no-any-return]

    def forward(self, image: Tensor) -> Output:
        """(N, 3, 299, 299) -> Output."""
        features = self.features(image)
        classes = self.classes(features)
        return Output(logit=classes[:, self.fake] - classes[:, 1 - self.fake], features=features)


class F3NetDetector(Detector):
    """F3Net as a detector; the settings say in which order a file's two classes are."""

    settings = ("real-fake", "fake-real")
    card = Card(
        name="f3net",
        title="F3Net",
        year=2020,
        family="f3net",
        tasks=("detect",),
        paper="Qian et al., Thinking in frequency: face forgery detection by mining frequency-aware clues, ECCV 2020",
        about="The picture split into frequency bands goes to one Xception, the local strengths of frequencies to "
        "another; twice on the way each tells the other where to look.",
        input="RGB in -1..1, resized to 299x299",
        parameters=48_856_238,
        code="Leminhbinh0209/F3Net after yyk-wew/F3Net, both unofficial; their licences were not checked",
        targets=published.genimage("f3net"),
        limits=(
            "No weights for generated pictures were published; train it, or bring a file.",
            "The order of the two classes is the file's: 'fake-real' is what the folders of GenImage give when sorted "
            "by name; it was not checked for any file.",
            "How the published numbers resized pictures to 299x299 was not checked; here bilinear, whatever that does "
            "to the shape.",
        ),
    )  # fmt: skip

    def build(self) -> nn.Module:
        """The network, with the class that the setting calls fake."""
        return F3Net(fake=1 if self.setting == "real-fake" else 0)

    def prepare(self, pixels: Pixels) -> Prepared:
        """Resized to 299x299, in -1..1."""
        return resized(pixels, (SIDE, SIDE), _to_one)


def _to_one(pixels: Pixels) -> Tensor:
    return normalised(pixels, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

"""ManTra-Net: where the traces of manipulation in a picture differ from those around them.

A trace extractor (plain, SRM and constrained kernels side by side, then twelve convolutions) gives every pixel a unit
vector. A second part asks how far each pixel lies from the mean of its surroundings, at three window sizes and over the
whole picture, in units of the deviation; a small recurrent network reads the four answers in turn and says the map.

Traps. Borders are mirrored with the edge pixel itself. All deviations divide by N. The means and deviations are those
of the picture that is looked at, so a picture cut in tiles is another picture: large ones need memory or resizing. The
released network takes them over its whole batch; here every picture has its own, which is the same for one picture.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fauxlens.core.errors import BadShape
from fauxlens.core.names import unknown
from fauxlens.detectors.br_gen import br_gen
from fauxlens.detectors.card import Card, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector
from fauxlens.detectors.option import Option, declared
from fauxlens.detectors.prediction import Output
from fauxlens.detectors.view import Pixels, Prepared, budget_size, normalised, resized, whole
from fauxlens.nn.bayar import BayarConvolution
from fauxlens.nn.residuals import srm_kernels

_WIDTHS = (16, 32, 64, 64, 128, 128, 128, 256, 256, 256, 256, 256, 256)
_WINDOWS = (7, 15, 31)
_NORM_EPSILON = 1e-3
_SIGMA_EPSILON = 1e-6
_SMALLEST = 2  # two pixels are mirrored at each border


def mirrored(maps: Tensor, by: int) -> Tensor:
    """(N, C, H, W) -> `by` pixels wider on each side, mirrored so that the edge pixel comes twice."""
    for axis in (2, 3):
        length = maps.shape[axis]
        at = torch.arange(-by, length + by, device=maps.device)
        at = torch.where(at < 0, -1 - at, at)
        at = torch.where(at >= length, 2 * length - 1 - at, at)
        maps = maps.index_select(axis, at)
    return maps


def srm_convolution() -> nn.Conv2d:
    """Nine outputs: each of the three SRM kernels on red, green and blue alone. It is stored, but never trained."""
    convolution = nn.Conv2d(3, 9, 5, bias=False)
    on_one_colour = srm_kernels()[:, None, None] * torch.eye(3)[None, :, :, None, None]
    convolution.weight = nn.Parameter(on_one_colour.flatten(0, 1), requires_grad=False)
    return convolution


class TraceExtractor(nn.Module):
    """(N, 3, H, W) in -1..1 -> (N, 256, H, W), a unit vector a pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.init_conv = nn.Conv2d(3, 4, 5, bias=False)
        self.SRMConv2D = srm_convolution()
        self.BayarConv2D = BayarConvolution(3, 3)
        layers: list[nn.Module] = []
        for entering, leaving in pairwise(_WIDTHS):
            # Repeating the edge pixel once is mirroring by one.
            layers += [nn.Conv2d(entering, leaving, 3, padding=1, padding_mode="replicate"), nn.ReLU()]
        self.middle_and_last_block = nn.Sequential(*layers[:-1])

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 256, H, W)."""
        around = mirrored(image, 2)
        first = torch.cat((self.init_conv(around), self.SRMConv2D(around), self.BayarConv2D(around)), dim=1)
        return F.normalize(self.middle_and_last_block(first.relu()), dim=1, eps=1e-12)


class RecurrentCell(nn.Module):
    """One step of a convolutional LSTM with hard sigmoid gates: input, forget, candidate, output."""

    def __init__(self, channels: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.conv = nn.Conv2d(channels + hidden, 4 * hidden, kernel, padding=kernel // 2)

    def forward(self, seen: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) and (hidden, cell) before -> (hidden, cell) after."""
        before, cell = state
        enter, forget, candidate, leave = self.conv(torch.cat((seen, before), dim=1)).chunk(4, dim=1)
        cell = hard_sigmoid(forget) * cell + hard_sigmoid(enter) * candidate.tanh()
        return hard_sigmoid(leave) * cell.tanh(), cell


class Recurrence(nn.Module):
    """A sequence of maps read from the first to the last, starting from zero."""

    def __init__(self, channels: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.cell_list = nn.ModuleList([RecurrentCell(channels, hidden, kernel)])

    def forward(self, sequence: list[Tensor]) -> Tensor:
        """Maps (N, C, H, W) -> what is hidden after the last, (N, hidden, H, W)."""
        cell = cast(RecurrentCell, self.cell_list[0])
        n, _, height, width = sequence[0].shape
        zeros = sequence[0].new_zeros(n, cell.hidden, height, width)
        state = (zeros, zeros)
        for seen in sequence:
            state = cell(seen, state)
        return state[0]


class AnomalyDetector(nn.Module):
    """(N, 256, H, W) traces -> map logits (N, 1, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.adaptation = nn.Conv2d(256, 64, 1, bias=False)
        self.sigma_F = nn.Parameter(torch.zeros(1, 64, 1, 1))
        for window in _WINDOWS:
            setattr(self, f"pool{window}", nn.AvgPool2d(window, 1, window // 2, count_include_pad=False))
        self.conv_lstm = Recurrence(64, 8, 7)
        self.end = nn.Sequential(nn.Conv2d(8, 1, 7, padding=3))

    def distances(self, traces: Tensor) -> list[Tensor]:
        """How far each pixel lies from the mean around it, windows from small to the whole picture, in deviations."""
        adapted = F.instance_norm(self.adaptation(traces), eps=_NORM_EPSILON)
        deviation = adapted.std(dim=(2, 3), correction=0, keepdim=True)
        sigma = torch.maximum(deviation, self.sigma_F + _SIGMA_EPSILON)
        means = [getattr(self, f"pool{window}")(adapted) for window in _WINDOWS]
        means.append(adapted.mean(dim=(2, 3), keepdim=True))
        return [(mean - adapted).abs() / sigma for mean in means]

    def forward(self, traces: Tensor) -> Tensor:
        """(N, 256, H, W) -> (N, 1, H, W)."""
        return self.end(self.conv_lstm(self.distances(traces)))  # type: ignore[no-any-return]


class MantraNet(nn.Module):
    """(N, 3, H, W) RGB in -1..1 -> Output with mask logits and their largest as the verdict."""

    def __init__(self) -> None:
        super().__init__()
        self.IMTFE = TraceExtractor()
        self.AnomalyDetector = AnomalyDetector()

    def forward(self, image: Tensor) -> Output:
        """(N, 3, H, W) -> Output."""
        if image.dim() != 4 or image.shape[1] != 3 or min(image.shape[-2:]) < _SMALLEST:
            raise BadShape("ManTra-Net sees batches of RGB", wanted="(N, 3, H, W), sides of at least 2",
                           got=tuple(image.shape))  # fmt: skip
        mask = self.AnomalyDetector(self.IMTFE(image))
        return Output(logit=mask.amax(dim=(1, 2, 3)), mask=mask)


def hard_sigmoid(value: Tensor) -> Tensor:
    """Keras' sigmoid of three straight lines; torch's own has another slope."""
    return (0.2 * value + 0.5).clamp(0.0, 1.0)


Showing = Literal["native", "resize"]


class MantraNetDetector(Detector):
    """ManTra-Net as a detector. `showing`, which may be changed, says at what size it sees a picture.

    native  its own
    resize  512x512, as IMDLBenCo does
    """

    # No picture's numbers enter another's, but where features hardly vary the last digit of a batched convolution,
    # divided by their deviation, would show in the map.
    batch_limit = 1
    card = Card(
        name="mantra-net",
        title="ManTra-Net",
        year=2019,
        family="mantra-net",
        tasks=("detect", "localise"),
        paper="Wu et al., ManTra-Net: manipulation tracing network for detection and localization of image forgeries "
        "with anomalous features, CVPR 2019",
        about="Every pixel gets a vector of manipulation traces; how far it lies from the mean of its surroundings, at "
        "four sizes, is read by a small recurrent network that draws the map. The verdict is the largest value of the "
        "map.",
        input="RGB in -1..1, native size (or resized to 512x512)",
        parameters=3_805_625,
        code="ISICV/ManTraNet (Keras); academic and non-commercial use only",
        weights=(
            WeightSet(
                name="v4",
                files=(
                    WeightFile(
                        name="MantraNetv4.pt",
                        source="https://github.com/RonyAbecidan/ManTraNet-pytorch",
                        remark="a port of the authors' Keras weights; the port states no licence of its own",
                    ),
                ),
                licence="USC: academic or non-commercial use only",
                use="research-only",
                terms="academic or non-commercial use only",
                trained_on="385 kinds of manipulation, then four sets of synthetic forgeries",
            ),
        ),
        targets=br_gen("mantra-net"),
        limits=(
            "The authors define a map and no verdict; here it is the largest value of the map, so one bright pixel "
            "decides.",
            "Everything is relative to the rest of the picture: where all of it was made by a machine, there is no "
            "difference to find.",
            "At native size the output of one layer takes a kilobyte a pixel; or set `showing` to 'resize'.",
            "The released file has 32 filters in its first block where the paper says 16, so published scores differ "
            "slightly from it.",
            "'resize' uses this package's bilinear resampler; which one IMDLBenCo's numbers used was not checked.",
        ),
    )  # fmt: skip

    options = declared(
        showing=Option(about="how a picture is shown", choices=("native", "resize")),
        pixel_budget=Option(about="at native size, pictures with more pixels are resized", smallest=4096),
    )
    showing: Showing = "native"
    pixel_budget: int = 2**20

    def build(self) -> nn.Module:
        """The network."""
        return MantraNet()

    def prepare(self, pixels: Pixels) -> Prepared:
        """As `showing` says; a picture one pixel wide is made two wide, since borders are mirrored by two."""
        height, width = pixels.shape[:2]
        if self.showing == "resize":
            return resized(pixels, (512, 512), _to_one)
        if self.showing != "native":
            raise unknown(self.showing, ("native", "resize"), f"way to show a picture to {self.card.name}")
        if height * width > self.pixel_budget:
            return resized(pixels, budget_size(height, width, self.pixel_budget, _SMALLEST), _to_one)
        if min(height, width) < _SMALLEST:
            return resized(pixels, (max(height, _SMALLEST), max(width, _SMALLEST)), _to_one)
        return whole(pixels, _to_one)


def _to_one(pixels: Pixels) -> Tensor:
    return normalised(pixels, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

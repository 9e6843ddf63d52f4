"""The families of auto-encoders whose up-sampling trace `imprint` leaves: one row each, as data.

A family is a decoder's way of making many pixels of few (its up-sampler, its factor), with the width, activation and
norm around it. Which four of the trained ones are kept for testing was decided by a seed before any was trained, so
that no result could choose them.
"""

from __future__ import annotations

from dataclasses import dataclass

from fauxlens.core.errors import BadSetting
from fauxlens.core.names import unknown
from fauxlens.core.seeds import share_of

UPSAMPLERS = (
    "nearest",  # each pixel twice, then a convolution
    "bilinear",  # interpolated, then a convolution
    "transposed4",  # transposed convolution, kernel 4, stride 2
    "transposed3",  # transposed convolution, kernel 3, stride 2: its overlaps are uneven
    "shuffle",  # sub-pixel convolution
    "shuffle-blur",  # sub-pixel convolution, then a fixed 2 x 2 mean
    "tokens",  # each place of the latent gives a whole patch, and no patch sees its neighbour's pixels
)
ACTIVATIONS = ("relu", "leaky", "silu", "sine")
NORMS = ("none", "group", "batch")
FACTORS = (2, 4, 8)
LATENT = {2: 8, 4: 16, 8: 64}  # numbers kept of the 12, 48 and 192 of a patch
FLOOR = 27.0  # decibels; below it an auto-encoder is a blur, and finding it proves nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of decoder. `name` says it all: up-sampler, factor, activation, channels, and what is special."""

    upsampler: str
    factor: int
    activation: str = "silu"
    channels: int = 24  # at full size (tokens: at the latent's size)
    norm: str = "none"
    quantised: bool = False

    def __post_init__(self) -> None:
        for what, got, wanted in (
            ("up-sampler", self.upsampler, UPSAMPLERS),
            ("activation", self.activation, ACTIVATIONS),
            ("norm", self.norm, NORMS),
            ("factor", self.factor, FACTORS),
        ):
            if got not in wanted:
                raise BadSetting(f"no such {what} of a family", wanted=", ".join(map(str, wanted)), got=got)
        if self.channels < 4 or self.channels % 4:
            raise BadSetting("channels of a family", wanted="a multiple of 4", got=self.channels)

    @property
    def latent(self) -> int:
        """Numbers per place of the latent."""
        return LATENT[self.factor]

    @property
    def name(self) -> str:
        """The family's name.

        >>> Family(upsampler="bilinear", factor=4, quantised=True).name
        'bilinear-x4-silu-24-vq'
        """
        parts = [self.upsampler, f"x{self.factor}", self.activation, str(self.channels)]
        if self.norm != "none":
            parts.append(self.norm)
        if self.quantised:
            parts.append("vq")
        return "-".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class NearIdentity:
    """A family that was never trained: an orthogonal change of patches and its noisy inverse.

    A trained decoder nearly always smooths. These lie on both sides: `sharpens` is a coin.
    """

    factor: int
    seed: int
    steps: int = 1  # how many changes of patches it takes; 2 has traces of two periods

    @property
    def name(self) -> str:
        """The family's name.

        >>> NearIdentity(factor=4, seed=3).name
        'untrained-x4-s3'
        """
        return f"untrained-x{self.factor}-s{self.seed}" + ("" if self.steps == 1 else f"-n{self.steps}")

    @property
    def sharpens(self) -> bool:
        """Whether it raises high frequencies (it lowers them otherwise): a coin of its own seed."""
        return share_of("imprint-sign", self.name) < 0.5


def _rows() -> tuple[Family, ...]:
    rows = (
        # x2: the mildest.
        ("nearest", 2, "silu", 24, "none", False),
        ("bilinear", 2, "leaky", 24, "none", False),
        ("transposed4", 2, "relu", 24, "batch", False),
        ("transposed3", 2, "silu", 24, "none", False),
        ("shuffle", 2, "leaky", 24, "none", False),
        ("shuffle-blur", 2, "silu", 24, "none", False),
        ("tokens", 2, "silu", 40, "none", False),
        # x4: what latent models do.
        ("nearest", 4, "silu", 24, "none", False),
        ("nearest", 4, "leaky", 16, "group", False),
        ("nearest", 4, "relu", 20, "none", True),
        ("bilinear", 4, "silu", 24, "none", False),
        ("bilinear", 4, "leaky", 16, "none", False),
        ("transposed4", 4, "silu", 24, "none", False),
        ("transposed4", 4, "leaky", 16, "group", False),
        ("transposed4", 4, "silu", 20, "none", True),
        ("transposed3", 4, "leaky", 24, "none", False),
        ("transposed3", 4, "relu", 16, "batch", False),
        ("shuffle", 4, "silu", 20, "none", False),
        ("shuffle", 4, "sine", 16, "none", False),
        ("shuffle", 4, "leaky", 16, "none", True),
        ("shuffle-blur", 4, "leaky", 20, "none", False),
        ("shuffle-blur", 4, "relu", 16, "none", False),
        ("tokens", 4, "silu", 48, "none", False),
        ("tokens", 4, "relu", 40, "none", True),
        # x8: the hardest to bring above the floor.
        ("nearest", 8, "silu", 16, "none", False),
        ("bilinear", 8, "leaky", 12, "none", False),
        ("transposed4", 8, "silu", 12, "none", False),
        ("shuffle", 8, "leaky", 12, "none", False),
        ("tokens", 8, "silu", 48, "none", False),
        ("tokens", 8, "leaky", 40, "none", False),
    )
    return tuple(
        Family(upsampler=up, factor=factor, activation=act, channels=channels, norm=norm, quantised=quantised)
        for up, factor, act, channels, norm, quantised in rows
    )


TRAINED: dict[str, Family] = {family.name: family for family in _rows()}
"""Name -> a family that `recipes/imprint.toml` trains."""

UNTRAINED: dict[str, NearIdentity] = {
    family.name: family
    for family in (
        *(NearIdentity(factor=factor, seed=seed) for factor in FACTORS for seed in (1, 2)),
        NearIdentity(factor=4, seed=3, steps=2),
        NearIdentity(factor=8, seed=3, steps=3),
    )
}
"""Name -> a family made from its name alone."""

HELD_OUT_SEED = 20261121
HELD_OUT = 4


def held_out_order() -> tuple[str, ...]:
    """All trained families in the order in which they are asked to be held out: by the seed and the name alone."""
    return tuple(sorted(TRAINED, key=lambda name: share_of(f"imprint-held-out-{HELD_OUT_SEED}", name)))


def held_out(unfit: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The four that are kept for testing: the first of the order, no two with the same up-sampler, none of `unfit`."""
    chosen: list[str] = []
    for name in held_out_order():
        taken = {TRAINED[one].upsampler for one in chosen}
        if name not in unfit and TRAINED[name].upsampler not in taken:
            chosen.append(name)
        if len(chosen) == HELD_OUT:
            break
    return tuple(chosen)


CHOSEN = ("transposed4-x4-silu-24", "nearest-x2-silu-24", "shuffle-blur-x4-leaky-20", "shuffle-x4-sine-16")
"""What `held_out()` gave before anything was trained. One that proves unfit makes room for the next of the order."""


def family_called(name: str) -> Family | NearIdentity:
    """The family called `name`, trained or not."""
    found = TRAINED.get(name) or UNTRAINED.get(name)
    if found is None:
        raise unknown(name, (*TRAINED, *UNTRAINED), "reconstruction family")
    return found

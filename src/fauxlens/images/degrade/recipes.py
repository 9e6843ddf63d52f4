"""Named chains with a version in the name: published protocols as data, and our own approximations, said to be so.

Names, once released, keep their meaning; a change is a new name.

- `genimage-degraded/1:...`: GenImage's second task. GenImage published six conditions and no script, so this is a
  definition of ours, not a reproduction: the file is decoded to RGB, degraded here, and the
  detector's own transform comes afterwards. Blur is at native size: sigma 3 on 512 pixels is milder than on 224.
- `imaginet-perturbed/faithful`: ImagiNet's rendered test set with the red-blue trap of its codec library;
  `/clean` is the same with a codec that gets its colours right. Lanczos is OpenCV's in both.
- `imaginet-identification/...`: the robustness sweeps of its generator identification. The JPEG one compresses
  half of the pictures, because the reference left the probability at its default; `jpeg-<q>-all` compresses all.
- `robustness/...`: our sweeps, one thing at a time, every picture.
- `social/...-like`, `screenshot/...`, `processed/...`: **our approximations, not measured from any service.** Services
  change their settings without notice and treat accounts, apps and regions differently; these stand for "shrunk to a
  common size and saved again with a common quality". The numbers are assumptions, chosen within what is commonly
  reported, and they are here to be read and replaced.
"""

from __future__ import annotations

from dataclasses import dataclass

from fauxlens.core.names import unknown
from fauxlens.images.degrade.chain import Chain
from fauxlens.images.degrade.text import parse_chain


@dataclass(frozen=True)
class Recipe:
    """A named chain: its text, what it is, and whether a publication defines it or we do.

    `origin` is "published", "definition" (ours, for what a publication left open), "sweep" or "approximation".
    """

    text: str
    about: str
    origin: str

    @property
    def chain(self) -> Chain:
        """The chain, parsed."""
        return parse_chain(self.text)


_IMAGINET_CROP = "crop:side=256-1000,place=random,limit_to_picture=true | resize:side=256,kind=opencv-lanczos4"
_IMAGINET_IDENTIFICATION_SIDES = {i: 256 * 12 // i for i in range(2, 13)}
_JPEG_SWEEP = range(40, 101, 5)
_GENIMAGE = "GenImage task 2, condition "
_OWN = "our approximation, not measured from the service: "

CHAINS: dict[str, Recipe] = {
    "none": Recipe("none", "nothing happens", "definition"),
    "genimage-degraded/1:lr-112": Recipe("resize:side=112", _GENIMAGE + "LR 112: both sides 112", "definition"),
    "genimage-degraded/1:lr-64": Recipe("resize:side=64", _GENIMAGE + "LR 64: both sides 64", "definition"),
    "genimage-degraded/1:jpeg-65": Recipe("jpeg:quality=65", _GENIMAGE + "JPEG q65: baseline, 4:2:0", "definition"),
    "genimage-degraded/1:jpeg-30": Recipe("jpeg:quality=30", _GENIMAGE + "JPEG q30: baseline, 4:2:0", "definition"),
    "genimage-degraded/1:blur-3": Recipe("blur:sigma=3", _GENIMAGE + "Blur s3, at native size", "definition"),
    "genimage-degraded/1:blur-5": Recipe("blur:sigma=5", _GENIMAGE + "Blur s5, at native size", "definition"),
    "imaginet-perturbed/faithful": Recipe(
        f"{_IMAGINET_CROP} | one_of:probability=0.75(jpeg:quality=60-100,swapped=true / "
        "webp:quality=60-100,swapped=true) -> webp-lossless",
        "ImagiNet's perturbed test set, with red and blue exchanged inside the codec as in the reference",
        "published",
    ),
    "imaginet-perturbed/clean": Recipe(
        f"{_IMAGINET_CROP} | one_of:probability=0.75(jpeg:quality=60-100 / webp:quality=60-100) -> webp-lossless",
        "ImagiNet's perturbed test set, with a codec that gets its colours right",
        "published",
    ),
    **{
        f"imaginet-identification/jpeg-{quality}": Recipe(
            f"jpeg:quality={quality},swapped=true,probability=0.5 -> png",
            "ImagiNet's identification sweep over JPEG quality: half of the pictures, as in the reference",
            "published",
        )
        for quality in _JPEG_SWEEP
    },
    **{
        f"imaginet-identification/jpeg-{quality}-all": Recipe(
            f"jpeg:quality={quality},swapped=true -> png",
            "ImagiNet's identification sweep over JPEG quality, every picture",
            "definition",
        )
        for quality in _JPEG_SWEEP
    },
    **{
        f"imaginet-identification/resize-12-{i}": Recipe(
            f"crop:side={side} | resize:side=256,kind=opencv-lanczos4",
            f"ImagiNet's identification sweep over size: the central square of {side}, to 256 (x axis 12/{i})",
            "published",
        )
        for i, side in _IMAGINET_IDENTIFICATION_SIDES.items()
    },
    **{
        f"robustness/jpeg-{quality}": Recipe(f"jpeg:quality={quality}", f"JPEG {quality}, 4:2:0", "sweep")
        for quality in _JPEG_SWEEP
    },
    **{
        f"robustness/webp-{quality}": Recipe(f"webp:quality={quality}", f"lossy WebP {quality}", "sweep")
        for quality in (50, 75, 90)
    },
    **{
        f"robustness/resize-{scale}": Recipe(f"resize:scale={scale}", f"bicubic to {scale} times the size", "sweep")
        for scale in ("0.25", "0.5", "0.75", "1.5", "2")
    },
    **{
        f"robustness/down-up-{side}": Recipe(f"down_up:longest={side}", f"shrunk to {side} and enlarged again", "sweep")
        for side in (64, 128, 256)
    },
    **{
        f"robustness/blur-{sigma}": Recipe(f"blur:sigma={sigma}", f"Gaussian blur, sigma {sigma}", "sweep")
        for sigma in ("0.5", "1", "2", "3")
    },
    **{
        f"robustness/noise-{deviation}": Recipe(
            f"noise:deviation={deviation}", f"Gaussian noise, standard deviation {deviation}", "sweep"
        )
        for deviation in (2, 5, 10)
    },
    **{
        f"stability/{name}": Recipe(
            chain, "our delivery-stability set: a harmless re-delivery that no verdict should turn on", "definition"
        )
        for name, chain in {
            "jpeg-92": "jpeg:quality=92",
            "jpeg-80": "jpeg:quality=80",
            "webp-85": "webp:quality=85",
            "resize-0.75": "resize:scale=0.75",
            "resize-1.25-jpeg-90": "resize:scale=1.25 | jpeg:quality=90",
            "crop-0.9": "crop:share=0.9,place=centre",
        }.items()
    },
    "social/facebook-like": Recipe(
        "resize:longest=2048,kind=lanczos,enlarge=false | jpeg:quality=71-85",
        _OWN + "longest side at most 2048, JPEG 71-85, 4:2:0",
        "approximation",
    ),
    "social/x-like": Recipe(
        "resize:longest=2048,kind=lanczos,enlarge=false | jpeg:quality=80-85",
        _OWN + "longest side at most 2048, JPEG 80-85, 4:2:0",
        "approximation",
    ),
    "social/instagram-like": Recipe(
        "resize:longest=1350,kind=lanczos,enlarge=false | jpeg:quality=70-80",
        _OWN + "longest side at most 1350, JPEG 70-80, 4:2:0",
        "approximation",
    ),
    "social/whatsapp-like": Recipe(
        "resize:longest=1600,kind=bilinear,enlarge=false | jpeg:quality=65-80",
        _OWN + "longest side at most 1600, JPEG 65-80, 4:2:0",
        "approximation",
    ),
    "social/telegram-like": Recipe(
        "resize:longest=1280,kind=bilinear,enlarge=false | jpeg:quality=80-87",
        _OWN + "longest side at most 1280, JPEG 80-87, 4:2:0",
        "approximation",
    ),
    "social/reddit-like": Recipe(
        "resize:longest=1080,kind=lanczos,enlarge=false | one_of(jpeg:quality=75-90 / webp:quality=75-85)",
        _OWN + "the preview: longest side at most 1080, JPEG 75-90 or WebP 75-85",
        "approximation",
    ),
    "screenshot/phone": Recipe(
        "screenshot:width=1080-1440,gamma=0.95-1.05,bar_top=60-140,bar_bottom=80-260,bar_level=0-255 -> png",
        "our approximation: the picture fills a phone's width between two bars, saved as PNG",
        "approximation",
    ),
    "screenshot/desktop": Recipe(
        "screenshot:scale=0.5-1.25,gamma=0.95-1.05,bar_top=0-90,bar_level=200-255 -> png",
        "our approximation: the picture at a viewer's zoom under a title bar, saved as PNG",
        "approximation",
    ),
    "processed/light": Recipe(
        "one_of:probability=0.75(resize:scale=0.75-1.25 / blur:sigma=0.3-0.6 / sharpen:amount=0.2-0.6 / "
        "noise:deviation=0.5-2) | jpeg:quality=85-98,probability=0.5",
        "our approximation: a twin for real photos, hardly visible",
        "approximation",
    ),
    "processed/medium": Recipe(
        "one_of(resize:scale=0.5-1.5 / blur:sigma=0.6-1.2 / sharpen:amount=0.6-1.2 / noise:deviation=2-6 / "
        "down_up:scale=0.5-0.9) | gamma:exponent=0.85-1.15,probability=0.3 | jpeg:quality=70-90,probability=0.75",
        "our approximation: a twin for real photos, visible when compared",
        "approximation",
    ),
    "processed/heavy": Recipe(
        "one_of(resize:scale=0.3-0.6 / blur:sigma=1.2-2.5 / noise:deviation=6-15 / down_up:scale=0.2-0.5) | "
        "one_of(jpeg:quality=40-70 / webp:quality=40-70)",
        "our approximation: a twin for real photos, plainly worse",
        "approximation",
    ),
}
"""Every named chain."""


def recipe(name: str) -> Recipe:
    """The recipe of this name, or UnknownName with the nearest one.

    >>> print(recipe("genimage-degraded/1:blur-3").chain)
    blur:sigma=3
    """
    if name not in CHAINS:
        raise unknown(name, CHAINS, "degradation recipe")
    return CHAINS[name]


def read_chain(name_or_text: str) -> Chain:
    """The chain that a user means: a name of CHAINS, or the text of a chain.

    >>> read_chain("social/x-like") == recipe("social/x-like").chain
    True
    """
    given = name_or_text.strip()
    looks_like_a_name = "/" in given and not any(mark in given for mark in "=|(>")
    return recipe(given).chain if given in CHAINS or looks_like_a_name else parse_chain(given)

"""One small tree a protocol, as its dataset lies on disk, in which no part of the protocol is empty."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

from PIL import Image

import toy

_SOURCES = (("COCO", "000000000520"), ("ImageNet", "n06359193_84719"), ("Places", "Places365_val_00000001"))
_METHODS = ("LaMa", "MAT", "SDXL", "BrushNet", "PowerPaint")
CORVI = (
    *("progan", "stylegan2", "stylegan3", "biggan", "eg3d", "taming_trans"),
    *("dalle_mini", "dalle2", "glide", "latent_diff", "stable_diff", "adm"),
)
FIT = "; a calibration image of the test set it is in"
PRACTICAL = ("DreamBooth", "MidjourneyV4", "MidjourneyV5", "NightCafe", "StableAI", "YiJian")


def brgen(root: Path) -> None:
    """BR-Gen's release: three photos in the test list, one in the train list, all methods, masks of five sizes."""
    area = 0
    for split, photos in (("test", _SOURCES), ("train", (("COCO", "000000000777"),))):
        listed = []
        for number, (source, stem) in enumerate(photos):
            toy.picture(root / "RealImage" / source / f"{stem}.jpg", seed=number)
            listed.append([f"RealImage/{source}/{stem}.jpg", "Negative"])
            for kind in ("Stuff", "Background"):
                # 0.1, 0.3, 0.5, 0.7, 0.9 of 20 rows: one mask in every fifth of the frame.
                mask = Image.new("L", (32, 20))
                mask.paste(255, (0, 0, 32, 2 + 4 * (area % 5)))
                area += 1
                path = root / kind / "masks" / f"{source}_{stem}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                mask.save(path)
                for method in _METHODS:
                    forged = root / kind / method / f"{source}_{stem}.png"
                    toy.picture(forged, seed=area + len(method), height=20)
        (root / f"{split}.json").write_text(json.dumps(listed))


def genimage(root: Path) -> None:
    """GenImage's eight generators."""
    toy.genimage(root, whole=True)


def unbiased_genimage(root: Path) -> None:
    """GenImage's eight generators with UnbiasedGenImage's table."""
    toy.unbiased_genimage(root, whole=True)


def imaginet(root: Path) -> None:
    """ImagiNet's eight models and four contents, originals and rendered."""
    toy.imaginet(root, whole=True)


def other_sets(root: Path) -> None:
    """The four sets of BR-Gen's Table 5: two with masks, two of whole pictures."""
    for name in ("CoCoGlide", "GRE"):
        for n in range(2):
            toy.picture(root / name / "real" / f"{n}.png", seed=n)
            toy.picture(root / name / "fake" / f"glide_{n}.png", seed=20 + n)
            toy.mask(root / name / "mask" / f"glide_{n}.png")
    for n in range(2):
        for at in ("stylegan/cat/0_real", "stylegan/cat/1_fake", "laion/0_real", "glide_100_27/1_fake"):
            toy.picture(root / at / f"{n}.png", seed=40 + n)


def corvi(root: Path) -> None:
    """Corvi's test set with the list that docs/protocols.md makes of its annotations; a path may hold commas."""
    rows = []
    for number, generator in enumerate(CORVI):
        for n in range(2):
            path = f"fakes/{generator}, no {n}.png"
            toy.picture(root / path, seed=number + n)
            rows.append([path, "1", generator, "lists: corvi" + FIT * (number + n == 0)])
    for n in range(3):
        toy.picture(root / "reals" / f"{n}.png", seed=90 + n)
        rows.append([f"reals/{n}.png", "0", "", "lists: corvi" + FIT * (n == 0)])
    _list(root, rows)


def practical(root: Path) -> None:
    """The practical test set: six lists, of which the first real is in all."""
    rows = []
    toy.picture(root / "reals" / "all.png", seed=1)
    named = ", ".join(f"practical_{one}" for one in PRACTICAL)
    rows.append(["reals/all.png", "0", "", f"lists: {named}"])
    for number, name in enumerate(PRACTICAL):
        for n in range(2):
            for label, folder in (("1", "fakes"), ("0", "reals")):
                path = f"{folder}/{name}_{n}.png"
                toy.picture(root / path, seed=10 * number + n)
                rows.append([path, label, "", f"lists: practical_{name}" + FIT * (number + n == 0)])
    _list(root, rows)


def faces(root: Path) -> None:
    """FFHQ: real faces as PNG."""
    for n in range(3):
        toy.picture(root / "real" / f"0000{n}.png", seed=n, width=32, height=32)


def squares(root: Path) -> None:
    """Pictures of 448 by 448, and one of another size."""
    for n in range(2):
        toy.picture(root / "real" / f"{n}.png", seed=n, width=448, height=448)
    toy.picture(root / "real" / "small.png", seed=9)


def _list(root: Path, rows: list[list[str]]) -> None:
    with (root / "manifest.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["path", "label", "generator", "notes"], *rows])


Draw = Callable[[Path], None]
OF_LAYOUT: dict[str, Draw] = {
    "brgen": brgen,
    "genimage": genimage,
    "unbiased-genimage": unbiased_genimage,
    "imaginet": imaginet,
}
OF_PROTOCOL: dict[str, Draw] = {
    "br-gen-table-5": other_sets,
    "imaginet-corvi": corvi,
    "imaginet-corvi-clean": corvi,
    "imaginet-practical": practical,
    "imaginet-practical-clean": practical,
    "imaginet-time": squares,
    "unbiased-jpeg-reals": faces,
}


def tree_of(protocol: str, layout: str) -> Draw:
    """Who draws the tree that a protocol is run on."""
    return OF_PROTOCOL[protocol] if layout == "folder" else OF_LAYOUT[layout]

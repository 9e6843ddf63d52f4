"""Masks, heatmaps and outlines as files at the size of the picture, and a copy of it for the page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from fauxlens.core.errors import FauxlensError
from fauxlens.core.files import write_bytes
from fauxlens.images.encode import encode_jpeg
from fauxlens.images.picture import Picture
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.finding import Finding
from fauxlens.verdict.shown import copy_of, outlined
from fauxlens.verdict.words import with_places

Pixels = NDArray[np.uint8]


def heatmap_of(pixels: Pixels, mask: NDArray[np.float32]) -> Pixels:
    """The picture with strength laid over it: colours that the colour-blind can tell, the stronger the less clear."""
    level = np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8)
    colours = cast(Pixels, cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB))
    cover = (0.8 * np.clip(mask, 0, 1))[..., None]
    # Strip by strip: a large picture in floating point would be four times itself.
    found = np.empty_like(pixels)
    for top in range(0, pixels.shape[0], 256):
        part = slice(top, top + 256)
        mixed = pixels[part] * (1 - cover[part]) + colours[part] * cover[part]
        found[part] = np.rint(mixed).astype(np.uint8)
    return found


def traced_of(trace: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map without a scale of its own as 0..1: from its 1st to its 99th percentile."""
    low, high = np.percentile(trace, (1, 99))
    return cast(NDArray[np.float32], np.clip((trace - low) / max(float(high - low), 1e-12), 0, 1).astype(np.float32))


def png_of(pixels: Pixels) -> bytes:
    """An RGB or grey picture as PNG."""
    stored = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".png", stored)
    if not done:
        raise FauxlensError("the marks could not be written as PNG")
    return data.tobytes()


def _grey(shares: NDArray[np.float32]) -> Pixels:
    # What no view showed (NaN) is black: nothing is marked there.
    return cast(Pixels, np.rint(np.nan_to_num(shares) * 255).astype(np.uint8))


def named(finding: Finding, number: int) -> str:
    """What the files of a finding are called: its number, from 1 on, and what of its name is safe everywhere."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(finding.path).stem)[:60].strip("._-") or "picture"
    return f"{number + 1:04d}-{stem}"


def with_marks(finding: Finding, picture: Picture, folder: Path, number: int) -> Finding:
    """Write what is to be seen of a finding into `folder`/marks, and say in the finding where it lies.

    A copy of the picture for the page; a mask, a heatmap and an outline a detector; the maps of the evidence.
    """
    name = f"marks/{named(finding, number)}"
    copy = copy_of(picture.pixels)
    shown = f"{name}-picture{copy.suffix}"
    _write(folder / shown, copy.data)
    marks: dict[str, dict[str, str]] = {}
    for opinion in finding.opinions:
        said = opinion.prediction
        begun = f"{name}-{_safe(said.detector.replace('+', '-plus'))}"
        if said.mask is not None:
            grey = _grey(said.mask)
            files = {"mask": f"{begun}-mask.png", "heatmap": f"{begun}-heatmap.png"}
            _write(folder / files["mask"], png_of(grey))
            _write(folder / files["heatmap"], png_of(heatmap_of(picture.pixels, np.nan_to_num(said.mask))))
            if not opinion.is_random:
                around = outlined(picture.pixels, grey, opinion.level)
                files["outline"] = f"{begun}-outline.jpg"
                _write(folder / files["outline"], encode_jpeg(around, 92, "4:4:4"))
            if said.confidence is not None:
                files["confidence"] = f"{begun}-confidence.png"
                _write(folder / files["confidence"], png_of(_grey(said.confidence)))
        elif said.trace is not None:
            files = {"heatmap": f"{begun}-trace.png"}
            _write(folder / files["heatmap"], png_of(_grey(traced_of(said.trace))))
        else:
            continue
        marks[said.detector] = files
    taken: set[str] = set()
    return replace(
        with_places(finding),
        picture=shown,
        marks=marks,
        provenance=_mapped(finding.provenance, folder, name, taken),
        evidence=_mapped(finding.evidence, folder, name, taken),
    )


def _write(target: Path, data: bytes) -> None:
    # A report of many pictures is thousands of files, and can be made again after a power cut.
    write_bytes(target, data, lasting=False)


def _mapped(several: tuple[Evidence, ...], folder: Path, name: str, taken: set[str]) -> tuple[Evidence, ...]:
    found = []
    for one in several:
        if one.map is not None:
            file = f"{name}-map-{_safe(one.check)}.png"
            while file in taken:  # a check may find two things
                file = file.removesuffix(".png") + "-again.png"
            taken.add(file)
            _write(folder / file, png_of(_grey(np.clip(one.map, 0, 1))))
            one = replace(one, files={**one.files, "map": file})
        found.append(one)
    return tuple(found)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:40]

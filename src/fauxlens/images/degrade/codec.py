"""Steps that go through a file format: JPEG and WebP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fauxlens.core.errors import BadSetting
from fauxlens.images.degrade.step import EncodedFile, Record, Step, Whole, check_choice, check_number, draw_whole
from fauxlens.images.encode import SUBSAMPLINGS, decode_own, encode_jpeg, encode_webp, jpeg_roundtrip, webp_roundtrip
from fauxlens.images.shapes import Pixels


@dataclass(frozen=True, kw_only=True)
class Jpeg(Step):
    """Save as JPEG and open again; `swapped` is ImagiNet's red-blue trap (`fauxlens.images.encode.jpeg_roundtrip`)."""

    name: ClassVar[str] = "jpeg"
    quality: Whole = 95
    subsampling: str = "4:2:0"
    swapped: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("quality", self.quality, 1, 100, whole=True)
        check_choice("subsampling", self.subsampling, SUBSAMPLINGS)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the quality."""
        return {
            "quality": draw_whole(self.quality, rng),
            "subsampling": self.subsampling,
            "swapped": self.swapped,
        }

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Encode and decode."""
        return self.render_file(pixels, record)[0]

    def render_file(self, pixels: Pixels, record: Record) -> tuple[Pixels, EncodedFile | None]:
        """Encode and decode; the file is kept unless its colours are swapped, for then it does not show the pixels."""
        quality, subsampling = record["quality"], record["subsampling"]
        if record["swapped"]:
            return jpeg_roundtrip(pixels, quality, subsampling, swapped=True), None
        data = encode_jpeg(pixels, quality, subsampling)
        return decode_own(data), EncodedFile(data, ".jpg")


@dataclass(frozen=True, kw_only=True)
class Webp(Step):
    """Save as WebP and open again; lossless changes no pixel and `quality` then says nothing."""

    name: ClassVar[str] = "webp"
    quality: Whole = 95
    lossless: bool = False
    swapped: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("quality", self.quality, 1, 100, whole=True)
        if self.lossless and self.swapped:
            raise BadSetting("webp cannot be both lossless and swapped", hint="drop `swapped`: lossless loses nothing")

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Record:
        """Draw the quality."""
        quality = None if self.lossless else draw_whole(self.quality, rng)
        return {"quality": quality, "lossless": self.lossless, "swapped": self.swapped}

    def render(self, pixels: Pixels, record: Record) -> Pixels:
        """Encode and decode."""
        return self.render_file(pixels, record)[0]

    def render_file(self, pixels: Pixels, record: Record) -> tuple[Pixels, EncodedFile | None]:
        """Encode and decode; the file is kept unless its colours are swapped, for then it does not show the pixels."""
        if record["swapped"]:
            return webp_roundtrip(pixels, record["quality"], swapped=True), None
        data = encode_webp(pixels, record["quality"] or 95, lossless=record["lossless"])
        return decode_own(data), EncodedFile(data, ".webp")

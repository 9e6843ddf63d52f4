"""How large a file may be, in bytes and in pixels, before it is refused unread."""

from __future__ import annotations

from dataclasses import dataclass

from fauxlens.core.errors import BadSetting, UnreadableImage


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Refuse before reading (bytes) and before allocating (pixels).

    The defaults let the largest phone sensors through (200 megapixels) and stop decompression bombs: a PNG of
    30,000 x 30,000 pixels is a file of 100 kB and takes 2.7 GB once decoded.
    """

    max_bytes: int = 512 * 1024 * 1024
    max_pixels: int = 200_000_000

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels"):
            if getattr(self, name) < 1:
                raise BadSetting(f"{name} must be at least 1", got=getattr(self, name))

    def check_bytes(self, size: int, where: str) -> None:
        """Say no to a file of `size` bytes."""
        if size > self.max_bytes:
            raise UnreadableImage(
                "a file larger than the limit", reason="too-many-bytes", where=where,
                wanted=f"at most {self.max_bytes:,} bytes", got=f"{size:,}", hint="raise max_bytes if you trust it",
            )  # fmt: skip

    def check_pixels(self, width: int, height: int, where: str) -> None:
        """Say no to a picture of `width` x `height` pixels."""
        if width * height > self.max_pixels:
            raise UnreadableImage(
                "a picture larger than the limit", reason="too-many-pixels", where=where,
                wanted=f"at most {self.max_pixels:,} pixels", got=f"{width:,} x {height:,}",
                hint="raise max_pixels if you trust it",
            )  # fmt: skip


DEFAULT_LIMITS = Limits()

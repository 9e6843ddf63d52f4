"""Chance that depends on what a thing is, never on when or where it is worked on.

A seed is the first eight bytes (little-endian, masked to 63 bits) of the SHA-256 of
"spec-version|source|image id|mask type|method|attempt|purpose" (BR-Gen layout; the same rule serves every room).
"""

from __future__ import annotations

import hashlib

SPEC_VERSION = "1"
_MASK_63 = (1 << 63) - 1


def seed_for(
    purpose: str,
    *,
    source: str = "",
    image_id: str = "",
    mask_type: str = "",
    method: str = "",
    attempt: int = 0,
    spec_version: str = SPEC_VERSION,
) -> int:
    """The 63-bit seed of one purpose for one image.

    >>> seed_for("crop", source="COCO", image_id="1") == seed_for("crop", source="COCO", image_id="1")
    True
    >>> seed_for("crop", source="COCO", image_id="1") == seed_for("crop", source="COCO", image_id="2")
    False
    """
    parts = (spec_version, source, image_id, mask_type, method, str(attempt), purpose)
    # The bar separates the parts, so a part that holds one must not look like two.
    text = "|".join(part.replace("\\", "\\\\").replace("|", "\\|") for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "little") & _MASK_63


def share_of(salt: str, key: str) -> float:
    """A number in [0, 1) that depends on salt and key alone; it places a group in a split.

    >>> 0 <= share_of("salt", "photo") < 1
    True
    """
    digest = hashlib.sha256(f"{salt}|{key}".encode()).digest()
    # 53 bits are what a float holds exactly, so the result can never round up to 1.
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)

"""Chance: golden values by hand, parts that cannot be confused, shares that are uniform."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fauxlens.core.seeds import seed_for, share_of

PARTS = st.text(alphabet="a1|\\", max_size=4)


def by_hand(text: str) -> int:
    digest = hashlib.sha256(text.encode()).digest()
    return sum(byte << (8 * place) for place, byte in enumerate(digest[:8])) % 2**63


def test_seeds_are_the_first_eight_bytes_of_the_digest() -> None:
    assert seed_for("crop") == by_hand("1|||||0|crop")
    given_ = {"source": "COCO", "image_id": "000520", "mask_type": "Stuff", "method": "LaMa", "attempt": 2}
    assert seed_for("regions", **given_) == by_hand("1|COCO|000520|Stuff|LaMa|2|regions")  # type: ignore[arg-type]
    assert seed_for("crop", image_id="caf\u00e9", spec_version="2") == by_hand("2||caf\u00e9|||0|crop")
    assert seed_for("crop", source="a|b\\") == by_hand("1|a\\|b\\\\||||0|crop")


def test_recorded_values() -> None:
    # These stand in published manifests; a change here makes other splits and other forgeries.
    assert seed_for("crop", source="COCO", image_id="1") == 6972327344151592284
    assert share_of("fauxlens-split-1", "photo") == 0.030975339356628218


@given(st.tuples(PARTS, PARTS, PARTS, PARTS, PARTS), st.tuples(PARTS, PARTS, PARTS, PARTS, PARTS))
def test_other_parts_are_another_seed(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assume(one != other)

    def seed(parts: tuple[str, ...]) -> int:
        return seed_for(parts[0], source=parts[1], image_id=parts[2], mask_type=parts[3], method=parts[4])

    assert seed(one) != seed(other)


@given(st.text(), st.integers(0, 10**9))
def test_seeds_fit_every_generator(purpose: str, attempt: int) -> None:
    assert 0 <= seed_for(purpose, attempt=attempt) < 2**63


def test_seeds_do_not_depend_on_the_process() -> None:
    code = (
        "from fauxlens.core.seeds import seed_for, share_of; print(seed_for('a', source='b'), repr(share_of('s', 'k')))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert told == [str(seed_for("a", source="b")), repr(share_of("s", "k"))]


@given(st.text(), st.text())
def test_a_share_is_below_one(salt: str, key: str) -> None:
    share = share_of(salt, key)
    assert 0 <= share < 1
    assert share * 2**53 == int(share * 2**53)


@pytest.mark.parametrize("salt", ["fauxlens-split-1", "another"])
def test_shares_are_uniform_and_salts_independent(salt: str) -> None:
    count, bins = 20_000, 20
    found, joint = [0] * bins, [0] * 4
    for number in range(count):
        share = share_of(salt, f"photo-{number}")
        found[int(share * bins)] += 1
        joint[2 * (share < 0.5) + (share_of("third", f"photo-{number}") < 0.5)] += 1
    # With 19 (3) degrees of freedom, a chi-square beyond 43.8 (16.3) comes once in a thousand.
    assert sum((n - count / bins) ** 2 / (count / bins) for n in found) < 43.8
    assert sum((n - count / 4) ** 2 / (count / 4) for n in joint) < 16.3

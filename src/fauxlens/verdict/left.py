"""How much of a decoder's trace can still be there, after what the file went through.

Shares are losses of the map of marked places, measured on small decoders' imprints that were delivered in other ways:
its pixel AUC was .97 untouched, and (AUC - .5) / (.97 - .5) is what is left. Several things are multiplied; that was
measured once (three quarters of the size, then JPEG 75: .085 left) and the product (.20) is above it.
"""

from __future__ import annotations

import numpy as np

from fauxlens.images.picture import Picture
from fauxlens.verdict.blocks import Values
from fauxlens.verdict.finding import Left
from fauxlens.verdict.past import Past, past_of

ENOUGH = 0.2
"""Below this share a detector that finds nothing has said nothing."""

# JPEG quality -> share. AUC .57 at 60, .62 at 75, .69 at 85, .79 at 95; the ends are by definition.
_JPEG = ((0, 0.0), (60, 0.15), (75, 0.26), (85, 0.40), (95, 0.62), (100, 1.0))
# Energy above a quarter of the sampling frequency against that of the octave below -> share. Of 120 photos 98 in a
# hundred are above 0.26. Of sizes only shrinking was measured (.77 left at three quarters, .43 at a half), which does
# not show in a spectrum; what shows is blur and enlarging: a blur of one pixel gives 0.03 to 0.05, weaker ones and
# shrinking to three quarters and back up to 0.2, enlarging twice 0.05 to 0.09. The shares themselves are set by hand,
# so that nothing below 0.2 is enough: of the ten whole real photos (of 1,036 deliveries of validation photos) with the
# highest scores of our own detector that lie above its band, six are smoothed as a whole and below it.
_FALL = ((0.01, 0.05), (0.04, 0.12), (0.2, 0.19), (0.26, 1.0))
# The same energy, in squared grey levels -> share. Rounding to whole levels alone gives 0.03, and 98
# photos in a hundred have more than 7.
_DETAIL = ((0.03, 0.05), (0.06, 0.3), (0.12, 1.0))
# Shorter side -> share. Not measured: below 96 pixels no detector was trained, below 48 nothing has room.
_SIDE = ((1, 0.0), (48, 0.1), (96, 1.0))
_SMALLEST = 96
_WINDOW = 128
_EACH_WAY = 5


def evidence_left(picture: Picture, past: Past | None = None) -> Left:
    """The share that is left, and the one thing that costs most, in words. `past` spares looking for it again."""
    past = past_of(picture) if past is None else past
    side = min(picture.width, picture.height)
    costs = [(_between(side, _SIDE), f"smaller than {_SMALLEST} pixels")]
    saved = _lowest_quality(past)
    if saved is not None:
        quality, words = saved
        costs.append((_between(quality, _JPEG), words))
    detail = _detail(past.luma)
    if detail is not None:
        energy, fall = detail
        worse = min(_between(energy, _DETAIL), _between(fall, _FALL))
        costs.append((worse, "no fine detail is left, as after blur, or after shrinking and enlarging"))
    share = float(np.prod([cost for cost, _ in costs]))
    least, reason = min(costs, key=lambda cost: cost[0])
    return Left(share, ENOUGH, reason if least < 1 else "nothing was found that would have cost traces")


def _lowest_quality(past: Past) -> tuple[int, str] | None:
    own, earlier = past.own_quality, past.earlier_quality
    # What was done between two savings suffered only the later one; nothing here can tell, so the lower one counts.
    if earlier is not None and (own is None or earlier < own):
        return earlier, f"saved as JPEG of quality {earlier} before"
    return None if own is None else (own, f"saved as JPEG of quality {own}")


def _detail(luma: Values) -> tuple[float, float] | None:
    """Energy of the top octave (squared grey levels) and its ratio to the octave below, where the picture has most."""
    side = min(_WINDOW, *luma.shape)
    if side < 16:
        return None
    taper = np.outer(np.hanning(side), np.hanning(side))
    taper /= np.sqrt((taper**2).mean())
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    # A real picture's spectrum is the same on both sides; all columns but the outer two stand for two.
    twice = np.full(radius.shape, 2.0)
    twice[:, 0] = 1
    if side % 2 == 0:
        twice[:, -1] = 1
    top, below = twice * (radius > 0.25), twice * ((radius > 0.125) & (radius <= 0.25))
    energies = []
    for y in _starts(luma.shape[0], side):
        for x in _starts(luma.shape[1], side):
            window = luma[y : y + side, x : x + side]
            power = np.abs(np.fft.rfft2((window - window.mean()) * taper)) ** 2 / side**4
            energies.append(((power * top).sum(), (power * below).sum()))
    # Out-of-focus backgrounds are no damage: the upper quarter of the windows speaks for the picture.
    ordered = sorted(energies)
    upper = ordered[-max(1, len(ordered) // 4) :]
    high = float(np.median([one for one, _ in upper]))
    return high, float(np.median([one / (two + 1e-6) for one, two in upper]))


def _starts(length: int, side: int) -> list[int]:
    count = min(_EACH_WAY, -(-length // side))
    return sorted({int(at) for at in np.linspace(0, length - side, count)})


def _between(value: float, table: tuple[tuple[float, float], ...]) -> float:
    places, shares = zip(*table, strict=True)
    return float(np.interp(value, places, shares))

"""Findings made up for pages: one of every verdict, with maps, evidence and re-deliveries, over a drawn picture."""

from __future__ import annotations

import numpy as np

from fauxlens.core.errors import UnreadableImage
from fauxlens.detectors.prediction import Prediction
from fauxlens.evaluate.calibration import Calibration
from fauxlens.images.picture import Picture
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.finding import UNCALIBRATED, Answer, Finding, Left, Opinion, Redelivery, Stability, Verdict
from fauxlens.verdict.judgement import Judgement
from landscapes import landscape

CALIBRATED = "2,000 pictures of three sources, held out, in November 2026"
RATES = "Of 1,000 phone photos it wrongly flagged 7."
SCRIPT = "<script>alert(1)</script>"
PICTURE = "<img src=x onerror=alert(1)>"


def picture(height: int = 120, width: int = 180) -> Picture:
    return Picture(landscape(3, height, width))


def mask_of(height: int, width: int) -> np.ndarray:
    """A soft disc at the lower left."""
    y, x = np.mgrid[:height, :width]
    away = np.hypot((y / height - 0.75) / 0.2, (x / width - 0.22) / 0.15)
    return np.clip(1.35 - 0.85 * away, 0, 1).astype(np.float32)


def opinion(
    verdict: Verdict,
    shape: tuple[int, int],
    *,
    axis: str = "local_edit",
    name: str = "fauxlens-small",
    logit: float = 2.1,
) -> Opinion:
    said = Prediction(name, logit, 0.5, mask=mask_of(*shape), detector=name, weights_sha256="ab" * 32, seconds=0.4)
    chance = float(1 / (1 + np.exp(-logit)))
    answer = Answer(axis, logit, chance, -0.4, 1.3, verdict, CALIBRATED)  # type: ignore[arg-type]
    return Opinion(said, "default", "one", answer, limits=(RATES, "It has never seen paintings."))


def uncalibrated(shape: tuple[int, int]) -> Opinion:
    said = Prediction("x", 0.3, 0.57, mask=mask_of(*shape)[:, ::-1].copy(), detector="npr", weights_sha256="cd" * 32)
    return Opinion(said, "published", "npr-3090")


def evidence(shape: tuple[int, int]) -> tuple[tuple[Evidence, ...], tuple[Evidence, ...]]:
    """What a file says of itself, and what its pixels say; the weakest first, so that somebody has to sort it."""
    camera = f"The file names a camera: {SCRIPT}."
    rough = np.abs(np.random.default_rng(5).normal(0, 0.25, shape)).clip(0, 1).astype(np.float32)
    provenance = (
        Evidence("exif", camera, "Whoever has the file can write such a text.", "captured",
                 details={"make": SCRIPT, "taken": None, "flash": True, "gps": {"there": True}}),
    )  # fmt: skip
    pixels = (
        Evidence("noise_residual", "Noise is even in most of the picture.", "Smooth places have none by nature.",
                 map=rough),
        Evidence("upsampling_spectrum", "The spectrum has no peak.", "Shrinking removes peaks.",
                 map=np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)),
        Evidence("double_jpeg", "A second grid of blocks lies at 3, 5.", "Screenshots of photos have one, too.",
                 "laundered", "weak", {"offset": [3, 5], "strength": 0.371234567}),
        Evidence("jpeg_ghost", "The lower left was saved at quality 62 before, the rest was not.",
                 "A place without detail looks the same.", "edited", "strong", {"quality": 62}, mask_of(*shape)),
    )  # fmt: skip
    return provenance, pixels


def finding(verdict: Verdict, shape: tuple[int, int] = (120, 180), *, path: str = "photos/beach.jpg") -> Finding:
    """One whose parts agree with its verdict."""
    height, width = shape
    axis = "whole_image" if verdict == "generated" else "local_edit"
    logit = {"no_sign": -2.2, "inconclusive": 0.4, "edited": 2.1, "generated": 3.0}[verdict]
    provenance, pixels = evidence(shape)
    tried = tuple(
        Redelivery(name, logit - drop, verdict, 0.1)
        for name, drop in (("jpeg:quality=85", 0.3), ("resize:scale=0.5", 0.9))
    )
    whose = {"family": "latent diffusion", "probability": 0.83, "calibrated_on": CALIBRATED}
    return Finding(
        path,
        verdict,
        {
            "no_sign": "the detector's answer lies below the band in which nothing is said",
            "inconclusive": "2 of 5 other deliveries gave another answer",
            "edited": "the detector's answer on local edits lies above the band in which nothing is said",
            "generated": "the detector's answer on the whole picture lies above the band in which nothing is said",
        }[verdict],
        (opinion(verdict, shape, axis=axis, logit=logit), uncalibrated(shape)),
        {"format": "jpeg", "width": width, "height": height, "jpeg_quality": 90, "subsampling": "4:2:0",
         "sha256": "12" * 32},
        ("the colour profile was converted to sRGB",),
        provenance,
        pixels,
        Stability(tried, 2 if verdict == "inconclusive" else 0, 0.9, 1024),
        Left(0.63, 0.2, "saved as JPEG of quality 90"),
        whose if verdict == "generated" else None,
        seconds=1.25,
    )  # fmt: skip


def unjudged(shape: tuple[int, int] = (120, 180), *, path: str = "photos/cat.png") -> Finding:
    """One that nobody calibrated has looked at."""
    file = {"format": "png", "width": shape[1], "height": shape[0], "jpeg_quality": None, "subsampling": None,
            "sha256": "34" * 32}  # fmt: skip
    return Finding(path, "inconclusive", UNCALIBRATED, (uncalibrated(shape),), file, seconds=0.2)


def failed(path: str = "photos/bad.jpg") -> Finding:
    """One that cannot be read."""
    error = UnreadableImage(
        "no picture that we know",
        reason="not-an-image",
        where=path,
        wanted="JPEG, PNG",
        got="HTML",
        hint="open it in an editor and look what it is",
    )
    return Finding(path, None, error.what, error=error)


def judgement(low: float, high: float, *, detector: str = "x", sha256: str = "ab") -> Judgement:
    """One of a made-up detector, whose probability is the sigmoid of its logit."""
    fit = Calibration(
        method="platt", numbers={"slope": (1.0,), "offset": (0.0,)}, split="val", pictures=40, fakes=20,
        data_sha256="", detector=detector, weights_sha256=sha256, ece_before=0.1, ece_after=0.1, ece_fitted=0.1,
        date="2026-11-21",
    )  # fmt: skip
    return Judgement(
        detector=detector, weights_sha256=sha256, axis="local_edit", calibration=fit, low=low, high=high,
        date="2026-11-21",
    )  # fmt: skip

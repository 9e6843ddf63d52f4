"""Every detector by name. Adding one is a new file and one line here."""

from __future__ import annotations

from typing import cast

from fauxlens.core.names import look_up
from fauxlens.detectors.detector import Detector

DETECTORS: dict[str, str] = {
    "f3net": "fauxlens.detectors.f3net:F3NetDetector",
    "lgrad": "fauxlens.detectors.lgrad:LGradDetector",
    "mantra-net": "fauxlens.detectors.mantra_net:MantraNetDetector",
    "mvss-net": "fauxlens.detectors.mvss_net:MvssNetDetector",
    "nfa-vit": "fauxlens.detectors.nfa_vit:NfaVitDetector",
    "noiseprint++": "fauxlens.detectors.noiseprint:Noiseprint",
}


def detector_class(name: str) -> type[Detector]:
    """The class of a detector; its `card` can be read without building a network."""
    return cast(type[Detector], look_up(DETECTORS, name, "detector"))

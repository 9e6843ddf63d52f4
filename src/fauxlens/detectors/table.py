"""Every detector by name. Adding one is a new file and one line here."""

from __future__ import annotations

from typing import cast

from fauxlens.core.names import look_up
from fauxlens.detectors.detector import Detector

DETECTORS: dict[str, str] = {
    "nfa-vit": "fauxlens.detectors.nfa_vit:NfaVitDetector",
    "noiseprint++": "fauxlens.detectors.noiseprint:Noiseprint",
    "pscc-net": "fauxlens.detectors.pscc_net:PsccNetDetector",
    "sparsevit": "fauxlens.detectors.sparse_vit:SparseVitDetector",
    "trufor": "fauxlens.detectors.trufor:TruForDetector",
}


def detector_class(name: str) -> type[Detector]:
    """The class of a detector; its `card` can be read without building a network."""
    return cast(type[Detector], look_up(DETECTORS, name, "detector"))

"""Every detector by name. Adding one is a new file and one line here."""

from __future__ import annotations

from typing import cast

from fauxlens.core.names import look_up
from fauxlens.detectors.detector import Detector

DETECTORS: dict[str, str] = {
    "cnnspot": "fauxlens.detectors.resnet50:CnnSpot",
    "community-forensics": "fauxlens.detectors.community_forensics:CommunityForensics",
    "corvi2022": "fauxlens.detectors.resnet50:Corvi2022",
    "deit-s": "fauxlens.detectors.deit:DeitS",
    "dire": "fauxlens.detectors.dire:Dire",
    "f3net": "fauxlens.detectors.f3net:F3NetDetector",
    "fatformer": "fauxlens.detectors.fatformer:FatFormerDetector",
    "fauxlens-small": "fauxlens.detectors.small:Small",
    "freqnet": "fauxlens.detectors.freqnet:FreqNetDetector",
    "grag2021": "fauxlens.detectors.resnet50:Grag2021",
    "gramnet": "fauxlens.detectors.gramnet:GramNetDetector",
    "imaginet": "fauxlens.detectors.imaginet:ImagiNet",
    "imaginet-identify": "fauxlens.detectors.imaginet:ImagiNetIdentify",
    "imaginet-v0": "fauxlens.detectors.imaginet:ImagiNetFirst",
    "lasted": "fauxlens.detectors.lasted:LastedDetector",
    "lgrad": "fauxlens.detectors.lgrad:LGradDetector",
    "mantra-net": "fauxlens.detectors.mantra_net:MantraNetDetector",
    "mvss-net": "fauxlens.detectors.mvss_net:MvssNetDetector",
    "nfa-vit": "fauxlens.detectors.nfa_vit:NfaVitDetector",
    "noiseprint++": "fauxlens.detectors.noiseprint:Noiseprint",
    "npr": "fauxlens.detectors.npr:Npr",
    "pscc-net": "fauxlens.detectors.pscc_net:PsccNetDetector",
    "resnet50": "fauxlens.detectors.resnet50:GenImageResNet50",
    "sparsevit": "fauxlens.detectors.sparse_vit:SparseVitDetector",
    "spec": "fauxlens.detectors.spec:SpecDetector",
    "swin-t": "fauxlens.detectors.swin:SwinT",
    "trufor": "fauxlens.detectors.trufor:TruForDetector",
    "univfd": "fauxlens.detectors.univfd:UnivFd",
}


def detector_class(name: str) -> type[Detector]:
    """The class of a detector; its `card` can be read without building a network."""
    return cast(type[Detector], look_up(DETECTORS, name, "detector"))

"""Detectors: one file a family, each with its network, its preparation, its weights and its card.

table.py       every detector by name
detector.py    the contract: build, prepare, logits, predict
prediction.py  Output (of a network) and Prediction (of a picture)
view.py        how a picture is shown to a network, and the way back to the size of the file
card.py        facts about a detector and its weights
checkpoint.py  files of weights to tensors, without running code; strict loading
store.py       where weights lie on this machine
load.py        `load`: a name to a detector with its weights in place
"""

from fauxlens.detectors.card import Card, Target, WeightFile, WeightSet
from fauxlens.detectors.detector import Detector, Loaded
from fauxlens.detectors.load import load
from fauxlens.detectors.prediction import Output, Prediction
from fauxlens.detectors.table import DETECTORS, detector_class
from fauxlens.detectors.view import Prepared, View, Window

__all__ = [
    "DETECTORS",
    "Card",
    "Detector",
    "Loaded",
    "Output",
    "Prediction",
    "Prepared",
    "Target",
    "View",
    "WeightFile",
    "WeightSet",
    "Window",
    "detector_class",
    "load",
]

"""Perception: which regions of a photo may be made anew, and what to say of them. Two tables of names."""

from __future__ import annotations

PROVIDERS: dict[str, str] = {
    "annotations": "fauxlens.forge.perceive.annotations:Annotations",
    "embedded": "fauxlens.forge.perceive.embedded:Embedded",
    "grounded": "fauxlens.forge.perceive.grounded:Grounded",
    "random": "fauxlens.forge.perceive.random_shapes:RandomShapes",
}
"""Name -> a `Provider`."""

CAPTIONERS: dict[str, str] = {
    "qwen": "fauxlens.forge.perceive.qwen:Qwen",
    "template": "fauxlens.forge.perceive.template:Template",
}
"""Name -> a `Captioner`."""

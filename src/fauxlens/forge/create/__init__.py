"""Creation: the ways to make a region anew, as one table of names."""

from __future__ import annotations

METHODS: dict[str, str] = {
    "brushnet": "fauxlens.forge.create.brushnet:BrushNet",
    "exemplar": "fauxlens.forge.create.exemplar:Exemplar",
    "imprint": "fauxlens.forge.create.imprint:Imprint",
    "lama": "fauxlens.forge.create.lama:LaMa",
    "learned": "fauxlens.forge.create.learned:Learned",
    "mat": "fauxlens.forge.create.mat:Mat",
    "navier-stokes": "fauxlens.forge.create.classical:NavierStokes",
    "powerpaint": "fauxlens.forge.create.powerpaint:PowerPaint",
    "powerpaint-v1": "fauxlens.forge.create.powerpaint_v1:PowerPaintV1",
    "sdxl": "fauxlens.forge.create.sdxl:Sdxl",
    "splice": "fauxlens.forge.create.splice:Splice",
    "telea": "fauxlens.forge.create.classical:Telea",
}
"""Name -> a `Method`."""

GROUPS = ("gan", "diffusion", "classical", "learned", "imprint", "splice")
"""Kinds of method: what a cross-generator protocol trains on and keeps apart."""

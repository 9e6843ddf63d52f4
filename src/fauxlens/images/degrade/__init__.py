"""Degradations: what happens to a picture between its maker and us, as named, seeded, composable steps.

    chain = parse_chain("resize:longest=1080 | jpeg:quality=60-80,subsampling=4:2:0")
    degraded = chain.apply(pixels, seed=7)          # .pixels, .records
    data, suffix, records = chain.encode(pixels, seed=7)
    chain = recipe("imaginet-perturbed/faithful").chain

The result depends on the pixels, the chain and the seed, and on nothing else. `STEPS` and `CHAINS` are the tables of
what there is; `chain_from` reads the same chains from TOML tables.
"""

from __future__ import annotations

from fauxlens.images.degrade.chain import CONTAINERS, Chain, Degraded, OneOf
from fauxlens.images.degrade.recipes import CHAINS, Recipe, read_chain, recipe
from fauxlens.images.degrade.step import EncodedFile, Record, Step
from fauxlens.images.degrade.text import STEPS, chain_from, parse_chain

__all__ = [
    "CHAINS",
    "CONTAINERS",
    "STEPS",
    "Chain",
    "Degraded",
    "EncodedFile",
    "OneOf",
    "Recipe",
    "Record",
    "Step",
    "chain_from",
    "parse_chain",
    "read_chain",
    "recipe",
]

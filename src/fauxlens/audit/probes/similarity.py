"""Similarity within one generator: do its pictures show nearly the same thing, more often than two reals do?

A picture is described by its edges (six directions in 4 x 4 cells), its colours (a histogram of 64) and its thumbnail.
A pair counts as alike when it is among the `ALIKE_SHARE` most alike of all pairs compared, whatever their labels. No
`series`; the pictures most alike to the others are a figure.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fauxlens.audit.features import Features
from fauxlens.audit.probes.alike import AlikeWording, likeness_shortcuts, of_unit_length
from fauxlens.audit.probes.comparison import ProbeContext, Rows, Values, Wording
from fauxlens.audit.shortcut import Shortcut

ALIKE_SHARE = 0.02
_DIRECTIONS = 6

WORDING = AlikeWording(
    Wording(
        "similarity",
        "Similarity within one generator",
        "how alike two pictures are",
        "Unusually high similarity within one generator: its pictures show nearly the same thing, so they are fewer "
        "samples than they seem, and a detector can learn the subject. Vary the prompts, or match the reals to them.",
    ),
    Wording(
        "similarity",
        "Similarity among the reals",
        "how alike two pictures are",
        "Unusually high similarity among the reals, not among the fakes: they show nearly the same thing, so they are "
        "fewer samples than they seem, and a detector can learn the subject. Take reals of more subjects.",
    ),
    statistic_name="share of alike pairs",
    # By the choice of the limit, 2 % of all pairs are alike; a class of one subject has ten times as many.
    least=0.04,
    told="{fakes:.1%} of the pairs of {against} are alike, {reals:.1%} of those of the reals",
)


def probe(features: Features, context: ProbeContext) -> list[Shortcut]:
    """The share of alike pairs among the fakes, on the whole and for each generator."""
    described = description(features)

    def alike(rows: Rows) -> Values:
        near = described[rows] @ described[rows].T
        upper = near[np.triu_indices(len(near), 1)]
        limit = np.quantile(upper, 1 - ALIKE_SHARE) if len(upper) else 0.0
        pairs: Values = (near > max(float(limit), 1e-6)).astype(np.float32)
        return pairs

    found = likeness_shortcuts(features, context, alike, WORDING, figure_title="Most alike to the others")
    # Fakes of several generators are alike when one of them is; the results by generator say which.
    meaning = WORDING.fakes.meaning
    among_all = meaning.replace("within one generator: its pictures", "among the fakes: they")
    return [replace(one, meaning=among_all) if one.generator is None and one.meaning == meaning else one
            for one in found]  # fmt: skip


def description(features: Features) -> Values:
    """(N, 1184) float32 of length 1: edges, colours and thumbnail with equal weight."""
    count = len(features)
    if not count:
        return np.zeros((0, 1184), dtype=np.float32)
    thumbnail = features.grey - features.grey.mean((1, 2), keepdims=True)
    parts = (_edges(features.grey), _colours(features.colour), thumbnail.reshape(count, -1))
    return of_unit_length(np.concatenate([of_unit_length(part) for part in parts], axis=1))


def _edges(grey: Values) -> Values:
    down, right = np.gradient(grey, axis=1), np.gradient(grey, axis=2)
    strength = np.hypot(down, right)
    turn = (np.arctan2(down, right) % np.pi) / np.pi * _DIRECTIONS
    lower = np.floor(turn).astype(np.int64) % _DIRECTIONS
    part = turn - np.floor(turn)
    cells = np.zeros((len(grey), 4, 4, _DIRECTIONS), dtype=np.float32)
    for direction in range(_DIRECTIONS):
        share = (lower == direction) * (1 - part) + ((lower + 1) % _DIRECTIONS == direction) * part
        cells[..., direction] = (strength * share).reshape(-1, 4, 8, 4, 8).sum((2, 4))
    flat = cells.reshape(len(grey), -1)
    edges: Values = np.sqrt(flat / np.maximum(flat.sum(1, keepdims=True), 1e-6))
    return edges


def _colours(colour: Values) -> Values:
    level = np.clip((colour.reshape(len(colour), -1, 3) * 4).astype(np.int64), 0, 3)
    number = level @ np.array([16, 4, 1]) + 64 * np.arange(len(colour))[:, None]
    counts = np.bincount(number.reshape(-1), minlength=64 * len(colour)).reshape(-1, 64)
    colours: Values = np.sqrt(counts / number.shape[1]).astype(np.float32)
    return colours

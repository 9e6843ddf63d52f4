"""One seed or one noise pattern: do the pictures of a generator share what should be drawn anew for each?

Two measures, both the mean correlation of two pictures of different origin: of thumbnails of 8 x 8 pixels (one initial
noise gives one layout to all prompts), after the means of all and of each content are taken away; and of the fine
detail at one place (a noise pattern that was added to all). No `series`.
"""

from __future__ import annotations

from fauxlens.audit.features import Features
from fauxlens.audit.probes.alike import likeness_shortcuts, of_unit_length
from fauxlens.audit.probes.comparison import SEEN, ProbeContext, Rows, Values, Wording
from fauxlens.audit.separation import Likeness
from fauxlens.audit.shortcut import Shortcut

LAYOUT = Wording(
    "seed",
    "One layout for all",
    "layout",
    "The pictures share one layout of light and dark, as they do when all were made from one seed (or one subject). "
    "They are not independent samples: a result on them counts as that of very few. Draw a new seed for each picture.",
)
PATTERN = Wording(
    "seed",
    "One fixed pattern",
    "fine detail",
    "The pictures share fine detail at the same place: one noise pattern that was added to all, or a fingerprint that "
    "the generator leaves at a fixed place. A detector can learn the pattern itself, which a shift of a few pixels "
    "removes.",
)
_MEASURES = 2


def probe(features: Features, context: ProbeContext) -> list[Shortcut]:
    """Layout and fine detail, on the whole and for each generator."""
    if not len(features):
        return likeness_shortcuts(features, context, lambda rows: features.grey[rows, 0], LAYOUT,
                                  statistic_name="", effect_of=_effect_of)  # fmt: skip
    grey = features.grey.reshape(-1, 8, 4, 8, 4).mean((2, 4)).reshape(len(features), -1)
    layout = of_unit_length(grey - grey.mean(1, keepdims=True), features.content)
    detail = features.flat("residual")

    def alike_in_layout(rows: Rows) -> Values:
        product: Values = layout[rows] @ layout[rows].T
        return product

    def alike_in_detail(rows: Rows) -> Values:
        product: Values = detail[rows] @ detail[rows].T
        return product

    found = []
    for wording, alike in ((LAYOUT, alike_in_layout), (PATTERN, alike_in_detail)):
        name = f"mean correlation of {wording.looks_at}"
        found += likeness_shortcuts(features, context, alike, wording, statistic_name=name, effect_of=_effect_of,
                                    tests=_MEASURES)  # fmt: skip
    return found


def _effect_of(found: Likeness, against: str) -> str:
    how = "no more than" if found.p_value > SEEN else "more than"
    return (
        f"Two of {against} correlate by {found.inside:.3f} on average, two reals by {found.outside:.3f}: {how} chance "
        f"explains ({found.fakes} pictures, {found.reals} reals; corrected p = {found.p_value:.2g})."
    )

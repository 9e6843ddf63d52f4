"""One seed or one noise pattern: do the pictures of a class share what should be drawn anew for each?

Two measures, both the mean correlation of two pictures of different origin (and, where contents are known, of different
content): of thumbnails of 8 x 8 pixels (one initial noise gives one layout to all prompts), and of the fine detail at
one place (a noise pattern that was added to all). What counts is how far the fakes are above the reals: reals share a
little too, as skies are above. No `series`.
"""

from __future__ import annotations

from fauxlens.audit.features import Features
from fauxlens.audit.probes.alike import AlikeWording, likeness_shortcuts, of_unit_length
from fauxlens.audit.probes.comparison import ProbeContext, Rows, Values, Wording
from fauxlens.audit.shortcut import Shortcut

_OF_REALS = "A detector can learn to know the reals by it, and takes whatever lacks it for a fake. "
_SUBJECT = "They are not independent samples: a result on them counts as that of very few. "

LAYOUT = AlikeWording(
    Wording(
        "seed",
        "One layout for all",
        "layout",
        "The pictures share one layout of light and dark, as they do when all were made from one seed (or show one "
        f"subject, or one shading). {_SUBJECT}Draw a new seed for each picture.",
        "The pictures share some of their layout of light and dark: a few seeds, a habit of composition, or a shading. "
        "This is less than one seed for all would leave; see also what the thumbnails tell.",
    ),
    Wording(
        "seed",
        "One layout for all reals",
        "layout",
        "The real pictures, not the fakes, share one layout of light and dark, as they do when all show one scene or "
        f"come from one fixed camera. {_SUBJECT}{_OF_REALS}Take reals from more places.",
    ),
    statistic_name="mean correlation of layout",
    # Pictures of one seed (Stable Diffusion, DrawBench) correlate by 0.6, those of one subject by 0.2. Photos made
    # brighter by 18 of 255 in the upper half do by 0.11: a shift of the mean, which is the thumbnail probe's to tell.
    least=0.15,
    told="Layouts correlate by {fakes:.3f} among {against}, by {reals:.3f} among the reals",
)
PATTERN = AlikeWording(
    Wording(
        "seed",
        "One fixed pattern",
        "fine detail",
        "The pictures share fine detail at the same place: one noise pattern that was added to all, or a fingerprint "
        "that the generator leaves at a fixed place. A detector can learn the pattern itself, which a shift of a few "
        "pixels removes.",
        "The pictures share a trace of fine detail at the same place, far less than one noise pattern in all would "
        "leave: a faint fingerprint of the generator, its upsampling or the codec, or a pattern in a few of them.",
    ),
    Wording(
        "seed",
        "One fixed pattern in all reals",
        "fine detail",
        "The real pictures, not the fakes, share fine detail at the same place, as those of one sensor do. "
        f"{_OF_REALS}Take reals from more cameras, or shift them by a few pixels.",
    ),
    statistic_name="mean correlation of fine detail",
    # A pattern of a hundredth of the fine detail's power; below, edges of the subject and codecs do as much.
    least=0.01,
    told="Fine details correlate by {fakes:.3f} among {against}, by {reals:.3f} among the reals",
)
_MEASURES = 2


def probe(features: Features, context: ProbeContext) -> list[Shortcut]:
    """Layout and fine detail, on the whole and for each generator."""
    grey = features.grey.reshape(-1, 8, 4, 8, 4).mean((2, 4)).reshape(len(features), 64)
    layout = of_unit_length(grey - grey.mean(1, keepdims=True))
    detail = features.flat("residual")

    def alike_in_layout(rows: Rows) -> Values:
        product: Values = layout[rows] @ layout[rows].T
        return product

    def alike_in_detail(rows: Rows) -> Values:
        product: Values = detail[rows] @ detail[rows].T
        return product

    return [
        *likeness_shortcuts(features, context, alike_in_layout, LAYOUT, content=features.content, tests=_MEASURES),
        *likeness_shortcuts(features, context, alike_in_detail, PATTERN, tests=_MEASURES),
    ]

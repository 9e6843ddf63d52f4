"""The words by which datasets call their classes and splits, in folder names and in columns.

Only whole words count: a folder called `real_esrgan` is no class. What is not in these tables is not guessed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClassName:
    """What a class word means. `vague` words (fake, 1) mean edited when the picture has a mask, else generated."""

    label: str
    family: str | None = None
    vague: bool = False


_REAL = ClassName("real")
_GENERATED = ClassName("generated")
_FAKE = ClassName("generated", vague=True)
_EDITED = ClassName("edited")

CLASS_NAMES: dict[str, ClassName] = {
    **dict.fromkeys(["real", "reals", "0_real", "nature", "natural", "authentic", "au", "pristine", "genuine"], _REAL),
    **dict.fromkeys(["original", "originals", "untouched", "camera_original"], _REAL),
    **dict.fromkeys(["fake", "fakes", "1_fake"], _FAKE),
    **dict.fromkeys(["ai", "aigc", "ai_generated", "generated", "synthetic", "fully_synthetic"], _GENERATED),
    **dict.fromkeys(["gan", "gans"], ClassName("generated", family="gan")),
    "diffusion": ClassName("generated", family="diffusion"),
    **dict.fromkeys(["edited", "tampered", "tp", "inpainted", "forged", "forgery", "forgeries"], _EDITED),
    **dict.fromkeys(["spliced", "splicing", "manipulated", "copy_move"], _EDITED),
}

_NUMBERS = {"0": _REAL, "0.0": _REAL, "1": _FAKE, "1.0": _FAKE}
_YES_IS_FAKE = {**_NUMBERS, "true": _FAKE, "yes": _FAKE, "false": _REAL, "no": _REAL}
_YES_IS_REAL = {"1": _REAL, "1.0": _REAL, "true": _REAL, "yes": _REAL}
_YES_IS_REAL |= {"0": _FAKE, "0.0": _FAKE, "false": _FAKE, "no": _FAKE}

SPLIT_NAMES: dict[str, str] = {
    **dict.fromkeys(["train", "training"], "train"),
    **dict.fromkeys(["val", "valid", "validation"], "val"),
    **dict.fromkeys(["test", "testing"], "test"),
}

MASK_FOLDERS = frozenset(["mask", "masks", "gt", "groundtruth", "ground_truth", "ground_truths"])
MASK_SUFFIXES = ("_mask", "_gt", "_edgemask", "-mask", "-gt")


def plain_word(text: str) -> str:
    """A folder name or a value as the tables write it.

    >>> plain_word(" AI-Generated")
    'ai_generated'
    """
    return text.strip().lower().replace("-", "_").replace(" ", "_")


def class_of_value(value: str, column: str = "label") -> ClassName | None:
    """What a value in a label column means; None when it is in no table. `column` decides what 0 and 1 stand for.

    >>> class_of_value("ai").label, class_of_value("1", "is_real").label, class_of_value("dog")
    ('generated', 'real', None)
    """
    word = plain_word(value)
    column = plain_word(column)
    if column in ("real", "is_real"):
        return _YES_IS_REAL.get(word)
    if column in ("fake", "is_fake", "ai", "is_ai", "generated", "is_generated"):
        return _YES_IS_FAKE.get(word) or CLASS_NAMES.get(word)
    return CLASS_NAMES.get(word) or _NUMBERS.get(word)


def without_mask_suffix(stem: str) -> str:
    """The stem of the picture that a mask's stem names.

    >>> without_mask_suffix("cat_mask"), without_mask_suffix("cat")
    ('cat', 'cat')
    """
    lowered = stem.lower()
    for suffix in MASK_SUFFIXES:
        if lowered.endswith(suffix) and len(stem) > len(suffix):
            return stem[: -len(suffix)]
    return stem

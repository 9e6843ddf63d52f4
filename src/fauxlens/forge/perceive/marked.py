"""A caption with delimiters: read, checked, repaired, and made into what a generator is told (two passes of BR-Gen).

# stands around the words of a stuff region, which the second pass may change; $ around the words of a kept thing,
# around which it may change everything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fauxlens.core.errors import BadSetting
from fauxlens.core.seeds import share_of

STUFF_MARK = "#"
THING_MARK = "$"
# 77 tokens are what CLIP's text model reads, and a word is a little more than one token.
MOST_WORDS = 60
MOST_SPAN_WORDS = 20
MOST_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class MarkedText:
    """A sentence in three parts; `span` is what stands between the delimiters.

    >>> MarkedText("a boat under ", "the blue sky", ".").marked("#")
    'a boat under #the blue sky#.'
    """

    before: str
    span: str
    after: str

    @property
    def text(self) -> str:
        """The sentence without delimiters."""
        return self.before + self.span + self.after

    def marked(self, mark: str) -> str:
        """The sentence with `mark` on both sides of its span."""
        return f"{self.before}{mark}{self.span}{mark}{self.after}"


def mark_of(mask_type: str) -> str:
    """The delimiter of a mask type: $ where a thing is kept, # everywhere else."""
    return THING_MARK if mask_type == "background" else STUFF_MARK


def parse_marked(
    text: str, mark: str, *, most_words: int = MOST_WORDS, most_span_words: int = MOST_SPAN_WORDS
) -> MarkedText | None:
    """Read a marked sentence; None when it has not exactly two delimiters, no span, or too many words.

    White space becomes single spaces, and spaces just inside the delimiters are put outside them.

    >>> parse_marked("a boat under # the blue sky #.", "#")
    MarkedText(before='a boat under ', span='the blue sky', after=' .')
    >>> parse_marked("a boat under the blue sky", "#") is None
    True
    """
    one_line = " ".join(text.split())
    parts = one_line.split(mark)
    # The other delimiter would be read as one later on, wherever the sentence is shown without its marks.
    others = (STUFF_MARK, THING_MARK)
    if len(parts) != 3 or any(other in one_line for other in others if other != mark):
        return None
    before, inner, after = parts
    span = inner.strip()
    if inner[:1] == " " and before and not before.endswith(" "):
        before += " "
    if inner[-1:] == " " and after and not after.startswith(" "):
        after = " " + after
    read = MarkedText(before, span, after)
    if not _words(span) or len(_words(span)) > most_span_words:
        return None
    if len(_words(read.text)) > most_words or len(read.text) > MOST_CHARACTERS:
        return None
    return read


def plain_caption(category: str) -> MarkedText:
    """What is said when nothing better could be had.

    >>> plain_caption("sky").marked("#")
    'a photo of #sky#'
    """
    return MarkedText("a photo of ", category, "")


def outside_distance(old: MarkedText, new: MarkedText) -> int:
    """How many words outside the delimiters were put in, left out or exchanged; case and punctuation do not count.

    >>> outside_distance(MarkedText("a boat under ", "the blue sky", "."), MarkedText("a ship under ", "stars", ""))
    1
    """
    return _distance(_words(old.before), _words(new.before)) + _distance(_words(old.after), _words(new.after))


def keeps_outside(old: MarkedText, new: MarkedText, *, most: int = 0) -> bool:
    """Whether at most `most` words outside the delimiters differ: what the second pass owes for a stuff region."""
    return outside_distance(old, new) <= most


def keeps_span(old: MarkedText, new: MarkedText) -> bool:
    """Whether the same words stand between the delimiters: what the second pass owes for a kept thing."""
    return _words(old.span) == _words(new.span)


def with_span(old: MarkedText, span: str) -> MarkedText:
    """The old sentence with other words between its delimiters: the repair of a stuff caption that changed too much.

    >>> with_span(MarkedText("a boat under ", "the blue sky", "."), "the starry sky").text
    'a boat under the starry sky.'
    """
    return MarkedText(old.before, span, old.after)


def prompt_of(mask_type: str, first: MarkedText, perturbed: MarkedText | None = None) -> str:
    """What the generator is told: a stuff region's own words, or the whole sentence; the second pass's if there is one.

    >>> sentence = MarkedText("a boat under ", "the blue sky", "")
    >>> prompt_of("stuff", sentence), prompt_of("background", sentence)
    ('the blue sky', 'a boat under the blue sky')
    """
    chosen = first if perturbed is None else perturbed
    span = chosen.span.strip()
    return span if mask_type == "stuff" and span else chosen.text.strip()


def wants_perturbing(seed: int, share: float = 0.5) -> tuple[bool, float]:
    """Whether the caption is to be perturbed, and the number in [0, 1) that decided; both depend on `seed` alone.

    >>> yes, draw = wants_perturbing(7)
    >>> yes == (draw < 0.5) and wants_perturbing(7) == (yes, draw)
    True
    """
    if not 0.0 <= share <= 1.0:
        raise BadSetting("a share of perturbed captions out of range", wanted="0 to 1", got=share)
    draw = share_of("perturb", str(seed))
    return draw < share, draw


def _words(text: str) -> list[str]:
    return re.findall(r"\w+(?:['’-]\w+)*", text.casefold())


def _distance(one: list[str], other: list[str]) -> int:
    row = list(range(len(other) + 1))
    for i, word in enumerate(one, start=1):
        above, row[0] = row[0], i
        for j, against in enumerate(other, start=1):
            # `above` is the cell up and to the left, which the last step has written over.
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (word != against))
    return row[-1]

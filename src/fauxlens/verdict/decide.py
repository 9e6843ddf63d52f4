"""From answers and evidence to one verdict and the one reason that decided it.

The rules, in their order; the first that applies decides:

1. The file itself says how it was made (a signed claim, a generator's own text): that is its verdict.
2. Nobody looked whose answers are calibrated: inconclusive.
3. Too little of a trace can be left after what the file went through: inconclusive.
4. Strong signs of laundering, in the pixels or in the file's own words: inconclusive.
5. Two calibrated detectors contradict each other on the same question: inconclusive.
6. The answer turns round when the same picture is delivered in another way: inconclusive.
7. The answers as they are: generated before edited, inconclusive where an answer lies in its band.
8. A weak sign of an edit or of a generator, where the answers saw none: inconclusive. Else no sign.
"""

from __future__ import annotations

from collections.abc import Sequence

from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.finding import RANDOM, UNCALIBRATED, Answer, Axis, Left, Opinion, Stability, Verdict

IN_THE_BAND = "the score lies where the scores of real and of edited pictures overlap"
NOTHING_FOUND = "no check that ran found a sign"
NOT_ASKED: dict[Axis, str] = {
    "whole_image": "nobody who can tell was asked whether all of it was generated",
    "local_edit": "nobody who can tell was asked whether a part of it was edited",
}
"""Said together with `no_sign`: silence about a question that nobody was asked must not pass for an answer."""
_SAYS = {"edited": "a part of it was edited", "generated": "all of it was generated", "no_sign": "there is no sign"}


def decide(
    opinions: Sequence[Opinion],
    *,
    provenance: Sequence[Evidence] = (),
    evidence: Sequence[Evidence] = (),
    stability: Stability | None = None,
    left: Left | None = None,
) -> tuple[Verdict, str]:
    """The verdict, and the reason as a clause."""
    said = its_own_words(provenance)
    if said is not None:
        return said[0], f"the file says so itself: {clause(said[1].sentence)}"
    answers = [(one, one.answer) for one in opinions if one.answer is not None and not one.is_random]
    if not answers:
        is_random = bool(opinions) and all(one.is_random for one in opinions)
        return "inconclusive", RANDOM if is_random else UNCALIBRATED
    if left is not None and not left.is_enough:
        return "inconclusive", f"too little of a trace can be left: {left.reason}"
    laundered = next(
        (one for one in (*provenance, *evidence) if one.leans == "laundered" and one.strength == "strong"), None
    )
    if laundered is not None:
        return "inconclusive", clause(laundered.sentence)
    contradiction = _contradiction(answers)
    if contradiction is not None:
        return "inconclusive", contradiction
    if stability is not None and stability.flips:
        turned = f"{stability.flips} of {len(stability.tried)} ways to save, resize or crop it again"
        return "inconclusive", f"the answer turns round in {turned}"
    verdict, reason = _of_answers([answer for _, answer in answers])
    weak = next((one for one in (*provenance, *evidence) if one.leans in ("generated", "edited")), None)
    if verdict == "no_sign" and weak is not None:
        kind = "a generator" if weak.leans == "generated" else "an edit"
        return "inconclusive", f"the detector saw nothing, but there is a weak sign of {kind}: {clause(weak.sentence)}"
    return verdict, reason


def flips(first: Verdict, then: Verdict | None) -> bool:
    """Whether a verdict after re-delivery contradicts the first one; `inconclusive` contradicts nobody.

    >>> flips("edited", "no_sign"), flips("edited", "inconclusive"), flips("no_sign", "generated")
    (True, False, True)
    """
    return then is not None and "inconclusive" not in (first, then) and first != then


def its_own_words(provenance: Sequence[Evidence]) -> tuple[Verdict, Evidence] | None:
    """What the file itself says of how it was made, where it says it strongly: that is its verdict."""
    strong = [one for one in provenance if one.strength == "strong"]
    verdicts: tuple[Verdict, ...] = ("generated", "edited")
    for verdict in verdicts:
        found = next((one for one in strong if one.leans == verdict), None)
        if found is not None:
            return verdict, found
    return None


def _contradiction(answers: Sequence[tuple[Opinion, Answer]]) -> str | None:
    for number, (one, mine) in enumerate(answers):
        for other, theirs in answers[number + 1 :]:
            if mine.axis == theirs.axis and flips(mine.verdict, theirs.verdict):
                return (
                    f"the detectors disagree: {one.prediction.detector} says that {_SAYS[mine.verdict]}, "
                    f"{other.prediction.detector} that {_SAYS[theirs.verdict]}"
                )
    return None


def _of_answers(answers: Sequence[Answer]) -> tuple[Verdict, str]:
    for verdict in ("generated", "edited"):
        if any(one.verdict == verdict for one in answers):
            return verdict, f"its traces are stronger than those of nearly all real pictures: {_SAYS[verdict]}"
    if any(one.verdict == "inconclusive" for one in answers):
        return "inconclusive", IN_THE_BAND
    answered = {one.axis for one in answers}
    return "no_sign", "; ".join((NOTHING_FOUND, *(text for axis, text in NOT_ASKED.items() if axis not in answered)))


def clause(sentence: str) -> str:
    """A sentence as a part of another one; names and abbreviations keep their capitals.

    >>> clause("It was saved twice."), clause("SynthID is private."), clause("EXIF names a camera.")
    ('it was saved twice', 'SynthID is private', 'EXIF names a camera')
    """
    bare = sentence.rstrip(".")
    first = bare.split(" ", 1)[0]
    return bare if first[1:] != first[1:].lower() else bare[:1].lower() + bare[1:]

"""A finding in words: the sentences that terminal and page share. Sentences before numbers, limits beside claims.

A percentage stands only where somebody measured how often it is right: a detector that nobody calibrated shows none.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fauxlens.core.errors import FauxlensError
from fauxlens.core.text import visible
from fauxlens.detectors.table import DETECTORS, detector_class
from fauxlens.verdict.decide import clause, its_own_words
from fauxlens.verdict.evidence import Evidence
from fauxlens.verdict.finding import RANDOM, UNCALIBRATED, Answer, Axis, Finding, Opinion, Verdict

NO_SIGN = (
    "No sign of generation or local editing was found by the checks that ran. "
    "This does not prove the picture is authentic."
)
INCONCLUSIVE = "The checks disagree, or the picture was re-saved or shrunk too much to tell."
EDITED = "Part of this picture{where} carries traces that differ from the rest, as after inpainting or pasting."
GENERATED = "The whole picture carries traces like those of image generators."
STATED: dict[str, str] = {
    "generated": "The file itself says that the picture was made by a generator.",
    "edited": "The file itself says that a part of the picture was made or changed by a machine.",
}
"""Where the verdict rests on the file's own words: nobody saw a trace for that."""

LABELS: dict[Verdict | None, str] = {
    "no_sign": "no sign found",
    "inconclusive": "inconclusive",
    "edited": "edited in part",
    "generated": "generated",
    None: "not looked at",
}
"""A verdict in two words, for tables. There is none that says authentic."""

LEANINGS = {
    "generated": "speaks for a generator",
    "edited": "speaks for an edit",
    "laundered": "says that traces may be gone",
    "captured": "speaks for a camera",
    "none": "speaks for neither",
}

QUESTIONS: dict[Axis, str] = {"whole_image": "Made by a generator as a whole", "local_edit": "Edited in part"}

CARD_LINES = 12
"""Of one picture on the terminal, at most."""

WIDTH = 80

_SHORT = frozenset(("jpeg", "exif", "xmp", "iptc", "c2pa", "png", "icc", "gps"))


def sentence(finding: Finding) -> str:
    """The verdict in one sentence or two; for the inconclusive one with the reason that decided."""
    if finding.error is not None:
        return f"Not looked at: {stopped(finding.error.message)}"
    if finding.verdict == "no_sign":
        return NO_SIGN
    if finding.verdict in STATED and its_own_words(finding.provenance) is not None:
        return STATED[finding.verdict]
    if finding.verdict == "edited":
        return EDITED.format(where=_where(finding))
    if finding.verdict == "generated":
        told = family(finding)
        return GENERATED if told is None else f"{GENERATED} {told}"
    if finding.reason in (RANDOM, UNCALIBRATED):
        # Nothing disagreed and nothing was lost: nobody who may judge was asked.
        return f"Inconclusive: {stopped(finding.reason)}"
    return f"{INCONCLUSIVE} The reason: {stopped(finding.reason)}"


def decided(finding: Finding) -> str | None:
    """The one reason that decided, where the sentence of the verdict does not hold it already."""
    if finding.error is not None or finding.verdict == "inconclusive" or not finding.reason:
        return None
    return f"What decided: {stopped(finding.reason)}"


def family(finding: Finding) -> str | None:
    """Whose traces they are like; None unless somebody calibrated the answer."""
    told = finding.attribution or {}
    calibrated_on, probability = told.get("calibrated_on"), told.get("probability")
    if not calibrated_on:
        return None
    if told.get("family") in (None, "unknown"):
        return f"Which family of generators is unknown (calibrated on {calibrated_on})."
    sure = "" if probability is None else f"probability {percent(probability)}, "
    return f"They are most like those of the family {told['family']} ({sure}calibrated on {calibrated_on})."


def chance(answer: Answer) -> str:
    """A probability with its band and what it was calibrated on."""
    band = (
        f"nothing is said above {answer.low:+.2f}: this detector never gives the verdict"
        if answer.high is None
        else f"nothing is said between {answer.low:+.2f} and {answer.high:+.2f}"
    )
    # A chance holds for a share of fakes, and without that share it is read as a toss of a coin.
    where = "" if answer.prior is None else f" where {percent(answer.prior)} of the pictures are fakes"
    return (
        f"{QUESTIONS[answer.axis]}: probability {percent(answer.probability)}{where}, score {answer.logit:+.2f} "
        f"({band}), calibrated on {answer.calibrated_on}"
    )


def scored(opinion: Opinion) -> str:
    """What a detector answered, or its score where nobody knows how often that is right."""
    if opinion.answer is not None:
        return stopped(chance(opinion.answer))
    logit = opinion.prediction.logit
    if opinion.is_random:
        return f"{'No score' if logit is None else f'Score {logit:+.3f}'}: random weights, it means nothing."
    if logit is None:
        return "No score: it tells something else than a verdict."
    return f"Score {logit:+.3f}, above 0 leans to fake; it is not calibrated, so it is no chance."


def generators(opinion: Opinion) -> str | None:
    """The scores of the generators that it tells apart, highest first; they are no chances."""
    scores = opinion.prediction.generators
    if scores is None:
        return None
    return ", ".join(f"{name} {score:.2f}" for name, score in sorted(scores.items(), key=lambda one: -one[1])[:5])


def marked_by(finding: Finding) -> Opinion | None:
    """Whose marks the verdict speaks of: a calibrated answer on edits first, else the first that marks places."""
    marking = [one for one in finding.opinions if one.edited_share is not None]
    judged = [one for one in marking if one.answer is not None]
    local = [one for one in judged if one.answer is not None and one.answer.axis == "local_edit"]
    return next(iter((*local, *judged, *marking)), None)


def marked_area(opinion: Opinion) -> str | None:
    """Where it marks and how much: "Marked area: lower left, 12 % of the picture"."""
    share = opinion.edited_share
    if share is None:
        return None
    if not share:
        return "Marked area: none"
    place = opinion.place or placed(opinion)
    much = f"{share_of(opinion)} of the picture"
    return f"Marked area: {place + ', ' if place else ''}{much}"


def share_of(opinion: Opinion) -> str | None:
    """The marked share: in percent where the detector is calibrated, as a plain number where it is not."""
    share = opinion.edited_share
    if share is None:
        return None
    if opinion.answer is None:
        return f"{share:.2f}" if share >= 0.005 or not share else "less than 0.01"
    return percent(share)


def percent(share: float) -> str:
    """A share as people read it.

    >>> percent(0.1234), percent(0.004), percent(0.996), percent(0.0), percent(1.0)
    ('12 %', 'less than 1 %', 'more than 99 %', '0 %', '100 %')
    """
    if 0 < share < 0.01:
        return "less than 1 %"
    if 0.99 < share < 1:
        return "more than 99 %"
    return f"{round(share * 100)} %"


def place_of(mask: NDArray[Any], level: float = 0.5) -> str | None:
    """(H, W) -> where most of what lies above `level` is, in words; None where nothing does.

    >>> corner = np.zeros((9, 9)); corner[6:, :3] = 1
    >>> place_of(corner), place_of(np.ones((9, 9))), place_of(np.zeros((9, 9)))
    ('lower left', 'all over the picture', None)
    """
    with np.errstate(invalid="ignore"):
        marked = mask > level  # what no view showed (NaN) is not marked
    total = int(marked.sum())
    if not total:
        return None
    row = _third(marked.sum(axis=1), total, ("upper", "middle", "lower"))
    column = _third(marked.sum(axis=0), total, ("left", "centre", "right"))
    if row is None and column is None:
        return "all over the picture" if total > 0.6 * marked.size else "in several places"
    if row is None:
        return {"left": "along the left side", "centre": "from top to bottom", "right": "along the right side"}[
            str(column)
        ]
    if column is None:
        return {"upper": "along the top", "middle": "from side to side", "lower": "along the bottom"}[row]
    if row == "middle":
        return column
    return f"{row} {column}"


def placed(opinion: Opinion) -> str | None:
    """Where it marks, while its mask is at hand."""
    if opinion.prediction.mask is None or opinion.is_random:
        return None
    return place_of(opinion.prediction.mask, opinion.level)


def with_places(finding: Finding) -> Finding:
    """The same with the place of every mark in words, so that it outlives the mask."""
    opinions = tuple(one if one.place else replace(one, place=placed(one)) for one in finding.opinions)
    return replace(finding, opinions=opinions)


def checked(finding: Finding) -> tuple[str, ...]:
    """What was looked at, a sentence each."""
    told = [
        f"{one.prediction.detector} ({one.setting}, weights {one.weights}): {one.prediction.seconds:.2f} s."
        for one in finding.opinions
    ]
    if finding.provenance:
        told.append(f"What the file says of its own origin: {_names(finding.provenance)}.")
    if finding.evidence:
        told.append(f"What its pixels say beside the detectors: {_names(finding.evidence)}.")
    if finding.stability is not None:
        tried = len(finding.stability.tried)
        told.append(f"Whether the answer lasts when the picture is delivered in {tried} other ways.")
    if finding.left is not None:
        told.append("How much of a trace can still be there after what the file went through.")
    return tuple(told)


def not_checked(finding: Finding) -> tuple[str, ...]:
    """What could not be checked here, or was not, a sentence each."""
    return tuple(stopped(capital(one)) for one in finding.not_checked)


def lasting(finding: Finding) -> str | None:
    """What became of the answer after other deliveries."""
    stability = finding.stability
    if stability is None:
        return None
    tried = len(stability.tried)
    if not tried:
        return "No other delivery was tried."
    deciding = finding.deciding
    if stability.flips:
        told = f"The answer was contradicted in {stability.flips} of {tried} other deliveries"
    elif deciding is not None and deciding.answer is not None and deciding.answer.verdict == "inconclusive":
        # What says nothing cannot be contradicted, and that it was not must not reassure anybody.
        counts = Counter(one.verdict for one in stability.tried)
        several = ", ".join(f"{counts[one]} {LABELS[one]}" for one in LABELS if counts.get(one))
        told = f"The answer is open as it is; {tried} other deliveries: {several}"
    else:
        told = f"The answer was not contradicted in any of {tried} other deliveries"
    spread = "" if stability.spread is None else f"; the scores lie {stability.spread:.2f} apart"
    side = (
        ""
        if stability.side is None
        else f" (tried on a part of {stability.side:,} pixels, where the marks are strongest)"
    )
    return f"{told}{spread}{side}."


def traces_left(finding: Finding) -> str | None:
    """How much of a trace can still be there, in words."""
    left = finding.left
    if left is None:
        return None
    enough = "enough to judge by" if left.is_enough else "too little to judge by"
    because = f" ({left.reason})" if left.reason else ""
    return f"What the file went through{because} leaves {left.share:.2f} of a trace, where 1 is all of it: {enough}."


def disagreement(finding: Finding) -> str | None:
    """What the calibrated detectors say where they do not say the same."""
    said = [(one.prediction.detector, one.answer.verdict) for one in finding.opinions if one.answer is not None]
    if len({verdict for _, verdict in said}) < 2:
        return None
    return "The detectors do not agree: " + "; ".join(f"{name}: {LABELS[one]}" for name, one in said) + "."


def limits_of(opinion: Opinion) -> tuple[str, ...]:
    """What this detector has seen, how often it errs, and what its user must know: from its card."""
    told = list(opinion.limits)
    name = opinion.prediction.detector
    if name in DETECTORS:
        card = detector_class(name).card
        if not opinion.limits:
            told += card.limits
        told += [
            stopped(f"It was trained on {one.trained_on}")
            for one in card.weights
            if one.name == opinion.weights and one.trained_on and not any(one.trained_on in said for said in told)
        ]
    if opinion.is_random:
        told.append("It was never trained: the weights are random.")
    elif opinion.answer is None:
        told.append(
            "How often it errs on pictures like this one is not known here: nobody calibrated it on this machine."
        )
    return tuple(told)


def next_steps(finding: Finding) -> tuple[str, ...]:
    """What to do now, a sentence each."""
    if finding.error is not None:
        return () if finding.error.hint is None else (stopped(capital(finding.error.hint)),)
    steps = [
        "Find the earliest copy: every re-save takes traces away.",
        "Ask whoever made it for the original file, with its metadata.",
        "Search for the picture in reverse: an older copy, or one without the marked part, tells more than any score.",
    ]
    if finding.deciding is None and not any(one.strength == "strong" for one in finding.everything):
        steps.append("Ask a calibrated detector, or calibrate this one on pictures of your own: `fauxlens calibrate`.")
    if finding.verdict in ("edited", "generated"):
        steps.insert(0, "Do not accuse anybody on the strength of this alone.")
    return tuple(steps)


def file_in_words(finding: Finding) -> str:
    """Format, size in pixels and quality of the file."""
    file = finding.file
    told = [str(file["format"]).upper()] if file.get("format") else []
    if file.get("width") and file.get("height"):
        told.append(f"{file['width']} x {file['height']} pixels")
    if file.get("jpeg_quality"):
        told.append(f"quality {file['jpeg_quality']}")
    return ", ".join(told)


def card(finding: Finding, width: int = WIDTH) -> tuple[str, ...]:
    """One finding for the terminal: at most twelve lines, the verdict first, what was not checked and what to do last.

    Where all of it does not fit, what weighs least goes; the page has it all.
    """
    first = _folded(sentence(finding), width, 5)
    name = f"{_tail(finding.path, width - 40)}: {file_in_words(finding)}" if finding.file else finding.path
    # (rank, lines): the highest ranks go first when there are too many lines.
    parts: list[tuple[int, list[str]]] = [(0, first)]
    if finding.error is None:
        parts.append((0, [_cut(name, width)]))
        if (why := decided(finding)) is not None:
            parts.append((2, _folded(why, width, 2)))
        parts += [(1, _folded(scored(one), width, 3)) for one in finding.opinions if one.answer is not None][:2]
        opinion = marked_by(finding)
        if opinion is not None and finding.verdict != "edited" and (area := marked_area(opinion)) is not None:
            parts.append((4, [_cut(f"{area} ({opinion.prediction.detector})", width)]))
        parts += [
            (3 + number, [_cut(f"{one.strength}: {one.sentence}", width)])
            for number, one in enumerate(one for one in finding.everything if one.strength != "context")
        ]
        parts += [
            (3 + number, _folded(_uncalibrated(one), width, 2))
            for number, one in enumerate(one for one in finding.opinions if one.answer is None)
        ]
        if (told := lasting(finding)) is not None:
            parts.append((5, [_cut(told, width)]))
        parts.append((1, _begun("Not checked", not_checked(finding), width)))
    steps = next_steps(finding)
    if steps:
        # What to do about a file that failed is one sentence, and is told whole.
        told_next = _begun("Next", steps, width) if finding.error is None else _folded(f"Next: {steps[0]}", width, 4)
        parts.append((1, told_next))
    while sum(len(lines) for _, lines in parts) > CARD_LINES:
        worst = max(range(len(parts)), key=lambda k: (parts[k][0], k))
        del parts[worst]
    return tuple(line for _, lines in parts for line in lines)


def table(findings: Sequence[Finding]) -> tuple[tuple[str, ...], list[tuple[str | None, ...]]]:
    """Head and rows for many, as given: verdict, marked share, file; scores as well where none may be judged."""
    unjudged = all(one.deciding is None for one in findings if one.error is None)
    rows: list[tuple[str | None, ...]] = []
    for finding in findings:
        opinion = marked_by(finding)
        share = None if opinion is None else share_of(opinion)
        scores = ", ".join(
            f"{one.prediction.detector} {'–' if one.prediction.logit is None else format(one.prediction.logit, '+.2f')}"
            for one in finding.opinions
        )
        file = finding.path if finding.error is None else failure(finding.error, finding.path)
        rows.append((LABELS[finding.verdict], share, *([scores or None] if unjudged else []), file))
    return ("verdict", "marked", *(["scores"] if unjudged else []), "file"), rows


def remarks(findings: Sequence[Finding]) -> tuple[str, ...]:
    """What belongs below a table: why nothing was judged, what a share means, what to do about files that failed."""
    told = []
    reasons = Counter(one.reason for one in findings if one.error is None and one.verdict == "inconclusive")
    told += [f"inconclusive ({number:,}): {reason}" for reason, number in reasons.most_common(5)]
    if any(one.error is None and one.deciding is None and one.edited_share is not None for one in findings):
        told.append("marked without a percent sign: by a detector that nobody calibrated")
    hints = Counter(one.error.hint for one in findings if one.error is not None and one.error.hint)
    told += [f"next ({number:,}): {hint}" for hint, number in hints.most_common(3)]
    return tuple(told)


def totals(findings: Sequence[Finding]) -> str:
    """How many got which verdict: "3 pictures: 2 no sign found, 1 inconclusive; 1 could not be looked at"."""
    looked = [one for one in findings if one.error is None]
    counts = Counter(one.verdict for one in looked)
    told = ", ".join(f"{counts[one]:,} {LABELS[one]}" for one in LABELS if counts.get(one))
    failed = len(findings) - len(looked)
    at = f"{len(looked):,} {'picture' if len(looked) == 1 else 'pictures'} looked at"
    return f"{at}{': ' + told if told else ''}; {failed:,} could not be"


def stopped(text: str) -> str:
    """The text with a full stop, unless it has an end of its own."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def capital(text: str) -> str:
    """The text with a capital letter first."""
    return text[:1].upper() + text[1:]


def failure(error: FauxlensError, path: str) -> str:
    """An error on one line, with the file that it is about."""
    return error.message if Path(path).name in error.message else f"{path}: {error.message}"


def check_in_words(name: str) -> str:
    """The name of a check as it is written for people.

    >>> check_in_words("double_jpeg"), check_in_words("noise_residual")
    ('double JPEG', 'noise residual')
    """
    return " ".join(part.upper() if part in _SHORT else part for part in name.split("_"))


def _where(finding: Finding) -> str:
    opinion = marked_by(finding)
    share = None if opinion is None else opinion.edited_share
    if opinion is None or not share:
        return ""
    place = opinion.place or placed(opinion)
    much = percent(share) if opinion.answer is not None else str(share_of(opinion))
    about = much if much.startswith(("less", "more")) else f"about {much}"
    return f" ({about} of its area, {place + ', ' if place else ''}marked)"


def _uncalibrated(opinion: Opinion) -> str:
    logit = opinion.prediction.logit
    if logit is None:
        score = "no score"
    elif opinion.is_random:
        score = f"score {logit:+.3f}, which means nothing"
    else:
        score = f"score {logit:+.3f}, above 0 leans to fake; not calibrated"
    told = generators(opinion)
    notes = "".join(f"; {note}" for note in opinion.prediction.notes)
    named = "" if told is None else f"; generators: {told}"
    return f"{opinion.prediction.detector} ({opinion.setting}, {opinion.weights}): {score}{named}{notes}"


def _third(counts: NDArray[Any], total: int, names: tuple[str, str, str]) -> str | None:
    thirds = [float(part.sum()) / total for part in np.array_split(counts, 3)]
    for share, name in zip(thirds, names, strict=True):
        if share >= 0.6:
            return name
    if thirds[0] + thirds[1] >= 0.9 and thirds[0] > 0.35:
        return names[0]
    if thirds[1] + thirds[2] >= 0.9 and thirds[2] > 0.35:
        return names[2]
    return None


def _names(several: Sequence[Evidence]) -> str:
    return ", ".join(dict.fromkeys(check_in_words(one.check) for one in several))


def _begun(title: str, sentences: Sequence[str], width: int) -> list[str]:
    """How each begins, as many as two lines hold: the page has them whole."""
    lines: list[str] = []
    told = ""
    for one in sentences:
        begun = visible(one, one_line=True).split(": ")[0].split("; ")[0].rstrip(".")
        told = f"{title}: {begun}" if not told else f"{told}; {clause(begun)}"
        folded = _folded(told, width, 3)
        if lines and len(folded) > 2:
            break
        lines = folded[:2]
    return lines


def _folded(text: str, width: int, most: int) -> list[str]:
    lines = textwrap.wrap(visible(text, one_line=True), width, break_on_hyphens=False)
    if len(lines) > most:
        lines = [*lines[: most - 1], _cut(" ".join(lines[most - 1 :]), width)]
    return lines


def _cut(text: str, width: int) -> str:
    line = visible(text, one_line=True)
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def _tail(path: str, width: int) -> str:
    line = visible(path, one_line=True)
    return line if len(line) <= width else "…" + line[-(width - 1) :]

"""Which layout a tree is: each says how sure it is, and a doubt is said, not decided."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fauxlens.core.errors import UnknownLayout
from fauxlens.core.names import look_up
from fauxlens.manifest.layouts import LAYOUTS
from fauxlens.manifest.layouts.layout import Guess, Layout, Tree, counted

AUTO = "auto"

# Below this a guess rests on a few stray files; nearer than this two guesses are a tie.
_LEAST_SCORE = 0.1
_CLEAR_LEAD = 0.1


@dataclass(frozen=True, slots=True)
class Choice:
    """The layout a tree is read by, why, and what every layout said (best first; empty when it was named by hand)."""

    layout: Layout
    why: str
    guesses: tuple[tuple[str, Guess], ...] = ()


def detect(tree: Tree) -> list[tuple[str, Guess]]:
    """What every layout that could be meant says of the tree, the surest first."""
    guesses = []
    for name in LAYOUTS:
        layout: Layout = look_up(LAYOUTS, name, "layout")
        guess = layout.recognise(tree)
        if guess is not None:
            guesses.append((name, guess))
    # sorted is stable: of equals, the order of the table.
    return sorted(guesses, key=lambda item: -item[1].score)


def choose(tree: Tree, layout: str = AUTO) -> Choice:
    """The layout called `layout`; for "auto" the one that fits clearly best, else an error that says what was seen."""
    if layout != AUTO:
        return Choice(look_up(LAYOUTS, layout, "layout"), "named by hand")
    guesses = detect(tree)
    good = [(name, guess) for name, guess in guesses if guess.score >= _LEAST_SCORE]
    if not good and not tree.pictures:
        raise UnknownLayout(
            "the folder holds no pictures",
            where=tree.root,
            got=f"{counted(len(tree.files), 'other file')}{_passed_over(tree)}",
            hint="give the folder that the pictures are in",
        )
    if not good:
        sought = "".join(f"\n  {name}: {look_up(LAYOUTS, name, 'layout').summary}" for name in LAYOUTS)
        found = f"{counted(len(tree.pictures), 'picture')} in {counted(len(tree.files), 'file')}{_passed_over(tree)}"
        raise UnknownLayout(
            "no layout fits this folder",
            where=tree.root,
            got=found if not guesses else f"{found}; at best {_told(guesses[:2])}",
            wanted=f"one of{sought}\n",
            hint="name folders real and fake, or write a manifest.csv with the columns path and label",
        )
    best = good[0]
    rivals = [item for item in good[1:] if best[1].score - item[1].score < _CLEAR_LEAD]
    if rivals:
        raise UnknownLayout(
            "more than one layout fits this folder",
            where=tree.root,
            got=_told([best, *rivals]),
            hint=f"scan the datasets one by one, or say which it is: --layout {best[0]}",
        )
    name, guess = best
    return Choice(look_up(LAYOUTS, name, "layout"), guess.why, tuple(guesses))


def _passed_over(tree: Tree) -> str:
    reasons = Counter(item.reason for item in tree.left_out).most_common(3)
    return "".join(f"; {count:,} x {reason}" for reason, count in reasons)


def _told(guesses: list[tuple[str, Guess]]) -> str:
    return "; ".join(f"{name} {guess.score:.2f} ({guess.why})" for name, guess in guesses)

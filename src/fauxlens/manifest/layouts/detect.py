"""Which layout a tree is: each says how sure it is, and a doubt is said, not decided."""

from __future__ import annotations

from dataclasses import dataclass

from fauxlens.core.errors import UnknownLayout
from fauxlens.core.names import look_up
from fauxlens.manifest.layouts import LAYOUTS
from fauxlens.manifest.layouts.layout import Guess, Layout, Tree

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
    if not good:
        sought = "; ".join(f"{name}: {look_up(LAYOUTS, name, 'layout').summary}" for name in LAYOUTS)
        found = f"{len(tree.pictures):,} pictures in {len(tree.files):,} files"
        raise UnknownLayout(
            "no layout fits this folder",
            where=tree.root,
            wanted=sought,
            got=found if not guesses else f"{found}; at best {_told(guesses[:2])}",
            hint="name folders real and fake, write a manifest.csv with the columns path and label, "
            "or say which layout it is with --layout",
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


def _told(guesses: list[tuple[str, Guess]]) -> str:
    return "; ".join(f"{name} {guess.score:.2f} ({guess.why})" for name, guess in guesses)

"""The cards of a recipe's methods, and what its files call them."""

from __future__ import annotations

from fauxlens.core.names import look_up
from fauxlens.forge.create import METHODS
from fauxlens.forge.create.method import Method, MethodCard
from fauxlens.forge.recipe import Recipe


def cards_of(recipe: Recipe) -> dict[str, MethodCard]:
    """The card of every method of a recipe, by its key."""
    kinds: dict[str, type[Method]] = {one.key: look_up(METHODS, one.name, "creation method") for one in recipe.methods}
    return {key: kind.card for key, kind in kinds.items()}


def release_words(recipe: Recipe) -> dict[str, str]:
    """How files call each method of a recipe."""
    cards = cards_of(recipe)
    return {one.key: one.label or cards[one.key].release_name for one in recipe.methods}

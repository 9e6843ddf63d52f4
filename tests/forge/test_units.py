from __future__ import annotations

from fauxlens.core.settings import settings_from
from fauxlens.forge.recipe import Recipe
from fauxlens.forge.units import Choice, Seen, Unit, donors_for, first_round, next_round, standing


def _recipe(**more: object) -> Recipe:
    return settings_from(
        Recipe, {"name": "t", "methods": [{"name": "telea"}, {"name": "splice"}, {"name": "exemplar"}], **more}
    )


def _choice(chosen: str, reserve: str = "") -> Choice:
    return Choice(tuple((one, {}) for one in chosen), tuple((one, {}) for one in reserve))


def _photo(name: str, split: str = "train") -> Seen:
    return Seen(name, f"{name}.png", "s", None, split, None, name, 100, 80, ())


def test_every_method_on_every_region_method_by_method() -> None:
    units = first_round(_recipe(), {"stuff": _choice("ab"), "background": _choice("c")})
    assert len(units) == len(set(units)) == 9
    assert [unit.method for unit in units] == ["telea"] * 3 + ["splice"] * 3 + ["exemplar"] * 3


def test_fewer_methods_a_region_are_dealt_out_evenly() -> None:
    units = first_round(_recipe(methods_per_region=2), {"stuff": _choice("abcdef")})
    counts = {key: sum(unit.method == key for unit in units) for key in ("telea", "splice", "exemplar")}
    assert counts == {"telea": 4, "splice": 4, "exemplar": 4}
    assert all(sum(unit.photo == one for unit in units) == 2 for one in "abcdef")


def test_what_is_missing_is_taken_from_the_reserve_until_nobody_is_left() -> None:
    recipe, choices = _recipe(), {"stuff": _choice("ab", "xyz")}
    first = first_round(recipe, choices)
    done = [(unit, unit.photo != "a" or unit.method == "splice") for unit in first]
    now = standing(first, done)
    assert now.missing() == {("stuff", "telea"): 1, ("stuff", "exemplar"): 1}
    second = next_round(recipe, choices, now)
    assert second == [Unit("x", "stuff", "telea"), Unit("x", "stuff", "exemplar")]
    done += [(second[0], True), (second[1], False)]
    third = next_round(recipe, choices, standing(first, done))
    assert third == [Unit("y", "stuff", "exemplar")]
    done += [(third[0], False), (Unit("z", "stuff", "exemplar"), False)]
    assert next_round(recipe, choices, standing(first, done)) == []


def test_donors_are_other_photos_of_the_same_split() -> None:
    photos = [_photo(f"t{n}") for n in range(6)] + [_photo("v0", "val"), _photo("v1", "val"), _photo("alone", "test")]
    lend = donors_for(photos, {one.id: one.split for one in photos}, attempts=3)
    taken = [one["id"] for one in lend(Unit("t0", "stuff", "splice"))]
    assert len(set(taken)) == 3
    assert set(taken) <= {f"t{n}" for n in range(1, 6)}
    assert [one["id"] for one in lend(Unit("v0", "stuff", "splice"))] == ["v1"]
    assert lend(Unit("alone", "stuff", "splice")) == []
    assert lend(Unit("t0", "stuff", "splice")) == lend(Unit("t0", "stuff", "splice"))

from __future__ import annotations

from pathlib import Path

import pytest

from fauxlens.core.errors import BadSetting, UnknownName
from fauxlens.core.recipes import recipe_names, recipe_path
from fauxlens.core.settings import settings_from
from fauxlens.forge.recipe import Recipe, read_recipe, with_changes

FORGES = ("embedded", "br-gen")


@pytest.mark.parametrize("name", FORGES)
def test_the_recipes_that_come_along_are_read_and_written_back(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.name == name
    assert settings_from(Recipe, recipe.as_json()) == recipe


def test_br_gen_is_what_the_paper_says_where_it_speaks() -> None:
    recipe = read_recipe("br-gen")
    assert [one.name for one in recipe.methods] == ["lama", "mat", "sdxl", "brushnet", "powerpaint"]
    assert recipe.perceive.mask_types == ("stuff", "background")
    assert recipe.quota.photos == 15000
    assert recipe.quota.together
    text = recipe_path("br-gen").read_text()
    # Everything that decides is marked as the paper's or as ours.
    told = [
        line
        for line in text.splitlines()
        if " = " in line and not line.startswith(('name = "br-gen', "version", "about"))
    ]
    unmarked = [line for line in told if "#" not in line]
    assert unmarked == ["feather = [0, 0]", "hard_share = 1.0", 'per = "photo"']


def test_names_and_paths(tmp_path: Path) -> None:
    assert set(FORGES) <= set(recipe_names())
    with pytest.raises(UnknownName, match="Did you mean 'embedded'"):
        recipe_path("embeded")
    with pytest.raises(BadSetting, match="no such recipe"):
        recipe_path(str(tmp_path / "mine.toml"))


def test_changes_on_top() -> None:
    recipe = with_changes(read_recipe("embedded"), methods=["telea", "imprint"], photos=5, seed=3)
    assert [one.key for one in recipe.methods] == ["telea", "imprint"]
    assert (recipe.quota.photos, recipe.seed) == (5, 3)
    without = with_changes(read_recipe("embedded"), methods=["telea"])
    assert all(one.not_for == () for one in without.judges)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"methods": []}, "without a method"),
        ({"methods": [{"name": "telea"}, {"name": "telea"}]}, "two methods of one name"),
        ({"methods": [{"name": "tele"}]}, "Did you mean 'telea'"),
        ({"methods": [{"name": "telea", "label": "two words"}]}, "one word"),
        ({"methods": [{"name": "telea"}], "attempts": 0}, "attempts"),
        ({"methods": [{"name": "telea"}], "methods_per_region": 2}, "methods for each region"),
        ({"methods": [{"name": "telea"}], "judges": [{"name": "sem"}]}, "Did you mean 'seam'"),
        ({"methods": [{"name": "telea"}], "judges": [{"name": "seam", "not_for": ["lama"]}]}, "no method"),
        ({"methods": [{"name": "telea"}], "perceive": {"mask_types": ["things"]}}, "mask types"),
        ({"methods": [{"name": "telea"}], "delivery": {"chain": "jpg"}}, "degradation"),
        ({"methods": [{"name": "telea"}], "compose": {"feather": [5, 2]}}, "feathers"),
        ({"methods": [{"name": "telea"}], "quota": {"reserve": 1.0}}, "reserve"),
        ({"methods": [{"name": "telea"}], "photos": {"longest": 32}}, "sizes of photos"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused(given: dict, said: str) -> None:
    with pytest.raises((BadSetting, UnknownName), match=said):
        settings_from(Recipe, {"name": "mine", **given})

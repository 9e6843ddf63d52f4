"""What the embedded detector learns from: drawn apart by seed, families apart by recipe, made small once."""

from __future__ import annotations

from pathlib import Path

import pytest

from fauxlens.core.errors import BadManifest
from fauxlens.forge.create.families import CHOSEN, TRAINED
from fauxlens.forge.recipe import Recipe, read_recipe
from fauxlens.images.encode import encode_jpeg
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample
from fauxlens.train import embedded_set
from fauxlens.train.embedded_set import RECIPES, drawn, make
from landscapes import landscape

ALL = [name for several in RECIPES.values() for name in several]


def families(recipe: Recipe) -> set[str]:
    """Trained families that a recipe may draw from."""
    found: set[str] = set()
    for method in recipe.methods:
        if method.name == "imprint":
            pool = method.settings.get("pool", "train")
            listed = method.settings.get("families", ())
            found |= set(listed) or {"held-out": set(CHOSEN), "untrained": set()}[pool]
    return found


def test_families_are_met_in_one_part_only() -> None:
    learnt = families(read_recipe("detector-train"))
    assert learnt == families(read_recipe("detector-train-half"))
    known = {method.label for method in read_recipe("detector-test").methods if method.label.startswith("Known")}
    assert known == {"KnownPlain", "KnownAligned"}
    chosen_on = families(read_recipe("detector-val")) - learnt
    held_out = families(read_recipe("detector-test")) - learnt
    assert held_out == set(CHOSEN)
    assert len(chosen_on) == 3
    assert {TRAINED[name].factor for name in chosen_on} == {2, 4, 8}
    assert not held_out & chosen_on
    assert len(learnt) == 22


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_delivered_yet(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.delivery.chain == "none -> png"
    assert any(judge.name == "changed" for judge in recipe.judges)


def photos(folder: Path, count: int, split: str | None = None) -> Manifest:
    """Photos of three sources, of which the smallest is far below a tenth; the last rows are test photos already."""
    rows = []
    for number in range(count):
        source = "rare" if number % 20 == 19 else ("a", "b")[number % 2]
        (folder / f"{number}.jpg").write_bytes(encode_jpeg(landscape(number, 100, 130), 90))
        rows.append(Sample(id=f"p{number}", path=f"{number}.jpg", label="real", source=source, origin=f"o{number // 2}",
                           split=split or ("devtest" if number >= count - 8 else "train")))  # fmt: skip
    return Manifest.from_samples(rows, folder, name="photos")


def test_photos_are_drawn_apart_by_origin_and_one_source_as_a_whole(tmp_path: Path) -> None:
    found = drawn(photos(tmp_path, 80))
    assert found.held_out_source == "rare"
    rows = list(found.photos)
    assert {one.split for one in rows if one.source == "rare"} == {"test"}
    assert {one.split for one in rows if int(one.id[1:]) >= 72} == {"test"}
    by_origin: dict[str, set[str]] = {}
    for one in rows:
        if one.source != "rare":
            by_origin.setdefault(str(one.origin), set()).add(str(one.split))
    assert all(len(splits) == 1 for splits in by_origin.values())
    assert 0 < sum(one.split == "val" for one in rows) < 20
    assert [one.split for one in drawn(photos(tmp_path, 80)).photos] == [one.split for one in rows]


def test_without_real_photos_there_is_nothing_to_draw(tmp_path: Path) -> None:
    rows = [Sample(id="x", path="x.png", label="generated")]
    with pytest.raises(BadManifest, match="no usable real photo"):
        drawn(Manifest.from_samples(rows, tmp_path, name="none"))


def test_a_small_set_is_made_and_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_set, "VALIDATION", 0.5)
    monkeypatch.setattr(embedded_set, "FORGED_DELIVERIES", {"as-it-is": "none", "jpeg-75": "jpeg:quality=75"})
    monkeypatch.setattr(embedded_set, "REAL_DELIVERIES", {"half": "resize:scale=0.5"})
    (tmp_path / "in").mkdir()
    said: list[str] = []
    path = make(photos(tmp_path / "in", 8, "train"), tmp_path / "out", workers=0, only=("val",), say=said.append)
    whole = list(embedded_set.read_manifest(path))
    assert {one.split for one in whole} == {"val"}
    assert {one.label for one in whole} == {"real", "edited"}
    assert len({one.id for one in whole}) == len(whole)
    assert said[0].startswith("detector-val: ")
    delivered = list(embedded_set.read_manifest(embedded_set.make_calibration(tmp_path / "out")))
    forged, real = ([one for one in whole if one.label == label] for label in ("edited", "real"))
    assert len(delivered) == 2 * len(forged) + len(real)
    assert all((tmp_path / "out" / one.path).is_file() for one in delivered)
    assert all((tmp_path / "out" / str(one.mask_path)).is_file() for one in delivered if one.label == "edited")
    assert {one.jpeg_quality for one in delivered if "jpeg-75" in one.path} == {75}

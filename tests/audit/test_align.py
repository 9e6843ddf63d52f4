"""Choosing, matching and writing anew: counts that are exact, losses that add up, files that no longer tell."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import toy
from facts_drawn import drawn_columns, drawn_manifest
from fauxlens.audit import matching
from fauxlens.audit.align import CONSTRAINED, RAW, RECIPES, AlignPlan, align, align_recipe, constrain
from fauxlens.audit.baseline import FILE_FACTS, PAIR, BaselinePlan, metadata_baseline
from fauxlens.audit.matching import QUALITY_STEPS, cells, is_fake, match_exact, match_pairs
from fauxlens.audit.modes import MODES, ModePlan, balanced_by_content, bin_table, choose_by_mode
from fauxlens.audit.recode import GRID, RecodePlan, recode
from fauxlens.core.errors import BadManifest, BadSetting, UnknownName
from fauxlens.images.facts import read_facts
from fauxlens.images.picture import read_picture
from fauxlens.manifest.layouts.unbiased_genimage import read_metadata_csv, write_metadata_csv
from fauxlens.manifest.manifest import Manifest, read_manifest
from fauxlens.manifest.scan import scan
from toy import mask, picture

QUICK = BaselinePlan(resamples=100, permutations=99, repeats=1, shuffles=1)


def qualities(reals: list[int | None], fakes: list[int | None]) -> Manifest:
    """One row a quality, in one content."""
    labels = ["real"] * len(reals) + ["generated"] * len(fakes)
    columns = {
        "id": [f"{label}-{k:03d}" for k, label in enumerate(labels)],
        "path": [f"{k}.jpg" for k in range(len(labels))],
        "label": labels,
        "jpeg_quality": [*reals, *fakes],
        "format": ["jpeg"] * len(labels),
    }
    return Manifest.from_columns(columns, Path())


def uneven(seed: int = 0) -> Manifest:
    """400 rows of which a fifth are fake, with sizes and qualities that lean."""
    columns, _ = drawn_columns(400, seed)
    chance = np.random.default_rng(seed)
    columns["label"] = ["generated" if k % 5 == 0 else "real" for k in range(400)]
    columns["generator"] = [("alpha", "beta")[k % 2] if k % 5 == 0 else None for k in range(400)]
    columns["jpeg_quality"] = [int(chance.integers(88, 94 if k % 5 else 98)) for k in range(400)]
    return Manifest.from_columns(columns, Path())


@pytest.mark.parametrize("facts", [("size",), ("quality", "subsampling"), ("size_range", "content"), ("format",), ()])
def test_exact_matching_makes_every_cell_even(facts):
    aligned = constrain(uneven(), AlignPlan(match=facts))
    fake = is_fake(aligned.manifest)
    cell = cells(aligned.manifest, facts)
    np.testing.assert_array_equal(np.bincount(cell[fake]), np.bincount(cell[~fake]))
    source = uneven()
    all_cells, all_fake = cells(source, facts), is_fake(source)
    count = all_cells.max() + 1
    most = np.minimum(
        np.bincount(all_cells[all_fake], minlength=count), np.bincount(all_cells[~all_fake], minlength=count)
    )
    assert aligned.after == (most.sum(), most.sum())


@pytest.mark.parametrize(
    "plan",
    [
        AlignPlan(match=("size", "quality")),
        AlignPlan(match=("quality",), balance_content=True, generators=("alpha",)),
        AlignPlan(match=("size", "quality"), method="pairs", caliper=0.3),
        AlignPlan(match=("quality",), method="pairs", balance_content=True, least_side=350, most_side=520),
        AlignPlan(real_quality=91, most_side=600),
    ],
)
def test_losses_add_up(plan):
    aligned = constrain(uneven(), plan)
    for label, before, after in zip(("real", "fake"), aligned.before, aligned.after, strict=True):
        assert before - after == sum(loss.count for loss in aligned.losses if loss.label == label)
    assert aligned.before == (320, 80)
    assert all(loss.count > 0 and loss.reason for loss in aligned.losses)
    assert len(aligned.raw) == len(aligned.manifest)
    assert aligned.raw.count("label") == aligned.manifest.count("label")
    assert aligned.table().rows == tuple((x.label, x.reason, x.count) for x in aligned.losses)
    pairs = aligned.manifest.count(PAIR, "label")
    assert set(pairs.values()) == {1}
    assert len(pairs) == len(aligned.manifest)


def test_the_order_of_rows_does_not_matter_and_the_seed_does():
    manifest = uneven()
    there = manifest.take("shuffled", np.random.default_rng(1).permutation(len(manifest)))
    for plan in (AlignPlan(match=("size",)), AlignPlan(match=("size", "quality"), method="pairs")):
        first, again = constrain(manifest, plan), constrain(there, plan)
        assert set(first.manifest.values("id")) == set(again.manifest.values("id"))
        assert set(first.raw.values("id")) == set(again.raw.values("id"))
    other = constrain(manifest, AlignPlan(match=("size",), seed=1))
    assert set(other.manifest.values("id")) != set(
        constrain(manifest, AlignPlan(match=("size",))).manifest.values("id")
    )


quality_lists = st.lists(st.one_of(st.none(), st.integers(60, 100)), min_size=1, max_size=5)


@settings(deadline=None, max_examples=150)
@given(quality_lists, quality_lists, st.sampled_from([0.25, 0.5, 1.0, 4.0]))
def test_pairs_are_the_best_there_are(reals, fakes, caliper):
    def apart(one: int | None, other: int | None) -> float:
        if one is None or other is None:
            return 0.0 if one is other else 1.0
        return abs(one - other) / QUALITY_STEPS

    few, many = sorted((reals, fakes), key=len)
    best = (0, 0.0)
    for chosen in itertools.permutations(range(len(many)), len(few)):
        distances = [apart(few[k], many[place]) for k, place in enumerate(chosen)]
        # Leaving a pair out is always allowed, so only those within the caliper count.
        near = [one for one in distances if one <= caliper]
        best = min(best, (-len(near), sum(near)))
    manifest = qualities(reals, fakes)
    if best[0] == 0:
        with pytest.raises(BadManifest, match="no real and fake lie near enough"):
            match_pairs(manifest, ["quality"], caliper=caliper)
        return
    found = match_pairs(manifest, ["quality"], caliper=caliper)
    assert len(found.real) == len(found.fake) == -best[0]
    assert found.mean_distance == pytest.approx(best[1] / -best[0])
    assert sum(loss.count for loss in found.losses) == len(reals) + len(fakes) + 2 * best[0]


def test_many_rows_are_paired_in_blocks(monkeypatch):
    manifest = uneven()
    whole = match_pairs(manifest, ["size", "quality"], caliper=0.5)
    monkeypatch.setattr(matching, "_MOST_COMBINATIONS", 2000)
    cut = match_pairs(manifest, ["size", "quality"], caliper=0.5)
    assert 0.5 * len(whole.real) < len(cut.real) <= len(whole.real)
    assert len(set(cut.real)) == len(set(cut.fake)) == len(cut.real)


def test_nothing_left_says_where_and_why():
    manifest = qualities([95, 96], [75, 75])
    with pytest.raises(BadManifest, match=r"after matching on quality \(within the same format\)") as caught:
        match_exact(manifest, ["format", "quality"])
    assert "real 95 (1), 96 (1); fake 75 (2)" in str(caught.value)
    with pytest.raises(BadManifest, match="nothing is left after matching on content"):
        constrain(manifest, AlignPlan(balance_content=True))
    with pytest.raises(BadManifest, match=r"one class only in this manifest.*no fake picture"):
        constrain(manifest.where("reals", ~is_fake(manifest)), AlignPlan())
    with pytest.raises(BadManifest, match="one class only after leaving out: not of JPEG quality 50"):
        constrain(manifest, AlignPlan(real_quality=50))


def test_names_that_are_none_are_refused():
    with pytest.raises(UnknownName, match="Did you mean 'quality'"):
        AlignPlan(match=("qality",))
    with pytest.raises(UnknownName, match="Did you mean 'subsampling'"):
        cells(uneven(), ["subsamplings"])
    with pytest.raises(UnknownName, match="Did you mean 'alpha'"):
        constrain(uneven(), AlignPlan(generators=("alfa",)))
    with pytest.raises(UnknownName, match="Did you mean 'strict-96'"):
        align_recipe("strict96")
    with pytest.raises(BadSetting, match="pairs need facts"):
        AlignPlan(method="pairs")
    with pytest.raises(BadSetting, match="no crop, history or other container"):
        RecodePlan(mode="faithful", subsampling="4:2:0", crop=64)
    with pytest.raises(BadSetting, match="wanted 4:2:0"):
        RecodePlan(mode="faithful")


@pytest.mark.parametrize("plant", ["quality", "subsampling"])
def test_matching_removes_a_planted_leak(plant):
    # A leak that is not total: one real in ten shares each fake's value, and the other way round.
    manifest = drawn_manifest(600, plant=plant)
    before = metadata_baseline(manifest, QUICK).variant(FILE_FACTS).auc
    facts = ("size", plant) if plant == "subsampling" else (plant, "subsampling")
    aligned = constrain(manifest, AlignPlan(match=facts))
    after = metadata_baseline(aligned.manifest, replace(QUICK, least_groups=5)).variant(FILE_FACTS).auc
    assert before.low > 0.9
    assert after.contains(0.5)


# Selection modes


def genimage_rows() -> Manifest:
    """Two folders; reals with qualities and sizes, fakes without quality; two content classes."""
    rows = []
    for folder in ("wukong", "ADM"):
        for split in ("train", "val"):
            for k in range(12):
                side, quality = (500, 256)[k % 2], (96, 75, 96)[k % 3]
                rows.append(("real", None, folder, split, f"{k % 2}", side, quality))
            rows += [("generated", folder, folder, split, f"{k % 2}", 512, None) for k in range(8)]
    label, generator, source, split, content, side, quality = zip(*rows, strict=True)
    columns = {
        "id": [f"{k:03d}" for k in range(len(rows))], "path": [f"{k}" for k in range(len(rows))], "label": label,
        "generator": generator, "source": [f"genimage/{s}" for s in source], "split": split, "content": content,
        "width": side, "height": side, "jpeg_quality": quality,
    }  # fmt: skip
    return Manifest.from_columns(columns, Path())


@pytest.mark.parametrize(
    ("mode", "plan", "reals", "fakes"),
    [
        ("classic", ModePlan(generator="wukong"), 24, 16),
        ("classic", ModePlan(generator="wukong", split="train"), 12, 8),
        ("jpeg96", ModePlan(generator="wukong", split="train"), 8, 8),
        ("jpeg96", ModePlan(generator="wukong", split="train", quality=75), 4, 4),
        # Four of twelve reals in each folder and split are of 500 px and quality 96; those of both folders count.
        ("size_constrained", ModePlan(generator="wukong", split="train"), 8, 8),
        ("size_constrained", ModePlan(generator="wukong", split="train", balance=True), 4, 4),
        ("imagenet_jpeg", ModePlan(generator="wukong", quality=96), 8, 0),
        ("imagenet_jpeg", ModePlan(generator="wukong", quality=70), 12, 0),
        # Six of each twelve are of 500 px: validation of both folders, and ADM's training reals.
        ("size", ModePlan(generator="wukong", trained_on="wukong"), 18, 8),
        ("size", ModePlan(generator="wukong", trained_on="ADM", least_quality=96), 12, 8),
    ],
)
def test_modes_choose_as_the_reference_does(mode, plan, reals, fakes):
    chosen = choose_by_mode(genimage_rows(), mode, plan)
    counts = chosen.count("label")
    assert (counts.get(("real",), 0), counts.get(("generated",), 0)) == (reals, fakes)
    assert choose_by_mode(genimage_rows(), mode, plan).equals(chosen)


def test_balance_is_by_class():
    chosen = balanced_by_content(genimage_rows())
    assert chosen.count("content", "label") == {
        ("0", "generated"): 16, ("0", "real"): 16, ("1", "generated"): 16, ("1", "real"): 16,
    }  # fmt: skip


def test_modes_say_what_is_missing():
    with pytest.raises(UnknownName, match="selection mode"):
        choose_by_mode(genimage_rows(), "clasic", ModePlan(generator="wukong"))
    with pytest.raises(UnknownName, match="Did you mean 'wukong'"):
        choose_by_mode(genimage_rows(), "classic", ModePlan(generator="wukon"))
    with pytest.raises(BadSetting, match="trained_on"):
        choose_by_mode(genimage_rows(), "size", ModePlan(generator="wukong"))
    fakes = genimage_rows()
    no_reals = fakes.where("fakes", is_fake(fakes))
    for mode in set(MODES) - {"size", "size_constrained"}:
        with pytest.raises(BadManifest, match="no real has the source"):
            choose_by_mode(no_reals, mode, ModePlan(generator="wukong"))
    rows = {row[0]: row[1:] for row in bin_table(genimage_rows()).rows}
    assert rows["wukong"] == (450, 550, 24, 16)
    assert rows["ADM"] == (230, 280, 24, 16)


# Files


@pytest.fixture
def planted_files(tmp_path: Path) -> Manifest:
    """Twelve real JPEGs of many settings, and twelve square PNG fakes."""
    root = tmp_path / "data"
    for k in range(12):
        quality, kind = (96, 90, 80)[k % 3], (0, 2)[k % 2]
        picture(root / "real" / f"{k}.jpg", seed=k, width=72 + k, height=50, quality=quality, subsampling=kind)
        picture(root / "fake" / f"{k}.png", seed=100 + k, width=64, height=64)
    return scan(root)


def test_strict_makes_headers_the_same(planted_files, tmp_path):
    plan = AlignPlan(recode=RecodePlan(quality=96, crop=48))
    aligned = align(planted_files, plan, tmp_path / "out", workers=0)
    head, *others = (replace(read_facts(aligned.manifest.path_of(s)), bytes=0) for s in aligned.manifest)
    assert all(other == head for other in others)
    assert (head.format, head.width, head.height, head.metadata) == ("jpeg", 48, 48, ("jfif",))
    assert (head.jpeg.quality.value, head.jpeg.subsampling) == (96, "4:4:4")
    assert aligned.after == (12, 12)
    columns = ("format", "width", "jpeg_quality", "subsampling", "metadata")
    assert aligned.manifest.count(*columns) == {("jpeg", 48, 96, "4:4:4", "jfif"): 24}
    before, after = (metadata_baseline(m, QUICK).variant(FILE_FACTS).auc for m in (planted_files, aligned.manifest))
    assert before.low > 0.9
    assert after.contains(0.5)
    assert after.half_width <= 0.08


def test_both_manifests_are_written_with_their_history(planted_files, tmp_path):
    plan = AlignPlan(recode=RecodePlan(history=True, crop=48))
    aligned = align(planted_files, plan, tmp_path / "out", workers=0)
    constrained, raw = read_manifest(tmp_path / "out" / CONSTRAINED), read_manifest(tmp_path / "out" / RAW)
    assert constrained.equals(aligned.manifest)
    assert constrained.count("label") == raw.count("label")
    assert all(constrained.path_of(sample).is_file() for sample in constrained)
    assert all(raw.path_of(sample).is_file() for sample in raw)
    assert "12 fakes through a JPEG like the reals' first" in constrained.history[-1]
    assert "drawn without matching" in raw.history[-1]
    again = align(planted_files, plan, tmp_path / "out", workers=0)
    assert again.manifest.equals(aligned.manifest)


def test_history_changes_fakes_alone(planted_files, tmp_path):
    plain = recode(planted_files, tmp_path / "plain", RecodePlan(), workers=0)
    twice = recode(planted_files, tmp_path / "twice", RecodePlan(history=True), workers=0)
    for one, other in zip(plain, twice, strict=True):
        assert (one.sha256 != other.sha256) == one.fake


def test_faithful_leaves_reals_alone_and_shows_the_rest_of_the_leak(planted_files, tmp_path):
    plan = RecodePlan(mode="faithful", subsampling="4:2:0")
    made = recode(planted_files, tmp_path / "out", plan, workers=0)
    for old, new in zip(planted_files, made, strict=True):
        if old.fake:
            assert (new.format, new.jpeg_quality, new.subsampling) == ("jpeg", 96, "4:2:0")
        else:
            assert made.path_of(new).read_bytes() == planted_files.path_of(old).read_bytes()
    assert metadata_baseline(made, QUICK).variant(FILE_FACTS).auc.low > 0.6


def test_crops_stay_on_the_grid(tmp_path):
    root = tmp_path / "data"
    shown = np.zeros((96, 160, 3), np.uint8)
    shown[..., 0], shown[..., 1] = np.arange(160), np.arange(96)[:, None]
    from PIL import Image

    for name in ("real/a.png", "fake/b.png"):
        (root / name).parent.mkdir(parents=True)
        Image.fromarray(shown).save(root / name)
    manifest = scan(root)
    corners = set()
    for seed in range(6):
        plan = RecodePlan(quality=100, container="png", crop=40, place="random" if seed else "centre")
        made = recode(manifest, tmp_path / f"out{seed}", plan, seed=seed, workers=0)
        for sample in made:
            pixels = read_picture(made.path_of(sample)).pixels
            left, top = (round(float(v)) for v in pixels[0, 0, :2])
            corners.add((round(left / GRID), round(top / GRID)))
            assert abs(left - GRID * round(left / GRID)) <= 2
            assert pixels.shape == (40, 40, 3)
            assert sample.format == "png"
    assert len(corners) > 3


def test_masks_are_cut_with_their_picture(tmp_path):
    root = tmp_path / "data"
    for k in range(2):
        picture(root / f"{k}.png", seed=k, width=96, height=64)
    mask(root / "m.png", width=96, height=64)
    columns = {
        "id": ["a", "b"], "path": ["0.png", "1.png"], "label": ["real", "edited"], "mask_path": [None, "m.png"],
        "width": [96, 96], "height": [64, 64], "format": ["png", "png"], "status": ["ok", "ok"],
    }  # fmt: skip
    made = recode(Manifest.from_columns(columns, root), tmp_path / "out", RecodePlan(crop=32), workers=0)
    cut = read_picture(made.mask_path_of(made[1])).pixels[..., 0]
    # Centre: 16 pixels down and 32 to the right.
    np.testing.assert_array_equal(cut, read_picture(root / "m.png").pixels[16:48, 32:64, 0])


def test_a_pair_of_which_one_is_broken_is_left_out_whole(planted_files, tmp_path):
    broken = planted_files.path_of(next(s for s in planted_files if s.fake))
    broken.write_bytes(broken.read_bytes()[:200])
    aligned = align(planted_files, AlignPlan(recode=RecodePlan(crop=48)), tmp_path / "out", workers=0)
    assert aligned.after == (11, 11)
    assert aligned.raw.count("label") == aligned.manifest.count("label")
    for label, before, after in zip(("real", "fake"), aligned.before, aligned.after, strict=True):
        assert before - after == sum(loss.count for loss in aligned.losses if loss.label == label)
    assert {loss.reason for loss in aligned.losses} >= {"could not be read or written"}


def test_originals_are_never_overwritten(planted_files):
    with pytest.raises(BadSetting, match="overwrite the originals"):
        recode(planted_files, planted_files.root, RecodePlan(), workers=0)


def test_small_pictures_are_a_stated_loss(planted_files):
    with pytest.raises(BadManifest, match="one class only after leaving out: smaller than the crop of 60 px"):
        constrain(planted_files, AlignPlan(recode=RecodePlan(crop=60)))
    small = planted_files.with_columns("one small", {"width": [30, *planted_files.values("width").tolist()[1:]]})
    losses = constrain(small, AlignPlan(recode=RecodePlan(crop=48))).losses
    assert (losses[0].reason, losses[0].count) == ("smaller than the crop of 48 px", 1)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_are_plans_with_a_sentence(name):
    recipe = align_recipe(name)
    assert recipe.name == name
    assert len(recipe.summary) > 20


def test_the_wukong_recipe_takes_the_authors_rows():
    manifest = genimage_rows()
    plan = replace(align_recipe("wukong-450-550-96").plan, recode=None)
    aligned = constrain(manifest, plan)
    reals = aligned.manifest.where("reals", ~is_fake(aligned.manifest))
    assert set(reals.values("width")) == {500}
    assert set(reals.values("jpeg_quality")) == {96}
    assert set(aligned.manifest.count("generator")) == {(None,), ("wukong",)}
    assert aligned.manifest.count("content", "label") == {("0", "generated"): 8, ("0", "real"): 8}


# Splits, and the raw set's own source


def uneven_splits(*, own: int = 12, source: str = "genimage/{}") -> Manifest:
    """Two folders; wukong's fakes are 20 in train and 4 in val, its reals `own` in each; ADM has 40 reals in each."""
    rows = []
    for split, fakes in (("train", 20), ("val", 4)):
        rows += [("real", None, "wukong", split)] * own + [("real", None, "ADM", split)] * 40
        rows += [("generated", "wukong", "wukong", split)] * fakes + [("generated", "ADM", "ADM", split)] * 5
    label, generator, folder, split = zip(*rows, strict=True)
    columns = {
        "id": [f"{k:03d}" for k in range(len(rows))], "path": [f"{k}.png" for k in range(len(rows))], "label": label,
        "generator": generator, "source": [source.format(f) for f in folder], "split": split,
        "content": [f"{k % 2}" for k in range(len(rows))], "width": [500] * len(rows), "height": [500] * len(rows),
        "jpeg_quality": [96 if one == "real" else None for one in label],
    }  # fmt: skip
    return Manifest.from_columns(columns, Path())


WUKONG = replace(align_recipe("wukong-450-550-96").plan, recode=None)


def test_the_recipe_balances_within_each_split():
    aligned = constrain(uneven_splits(), WUKONG)
    for made in (aligned.manifest, aligned.raw):
        assert made.count("split", "label") == {
            ("train", "generated"): 20, ("train", "real"): 20, ("val", "generated"): 4, ("val", "real"): 4,
        }  # fmt: skip
    cells_of = aligned.manifest.count("content", "split", "label")
    assert all(cells_of[(*key[:2], "real")] == count for key, count in cells_of.items())
    assert set(aligned.manifest.count(PAIR, "split").values()) == {2}
    assert "content, split" in aligned.manifest.history[-2]


def test_the_raw_set_takes_the_reals_of_the_fakes_folder():
    enough = constrain(uneven_splits(own=30), WUKONG)
    assert set(enough.raw.count("source")) == {("genimage/wukong",)}
    assert enough.remarks == ()
    assert set(constrain(uneven_splits(own=30), replace(WUKONG, raw_from_source=False)).raw.count("source")) > {
        ("genimage/wukong",)
    }


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (uneven_splits(own=12), "has too few reals, so 8 are drawn from the others"),
        (uneven_splits(source="genimage"), "no real has a source that is the chosen fakes' own"),
    ],
)
def test_a_raw_set_that_cannot_be_had_is_said(manifest, said):
    aligned = constrain(manifest, WUKONG)
    assert aligned.raw.count("label") == aligned.manifest.count("label")
    assert said in aligned.table().note
    assert said in aligned.raw.history[-1]


def test_without_splits_the_recipe_balances_the_whole():
    manifest = uneven_splits()
    plain = manifest.with_columns("no splits", {"split": [None] * len(manifest)})
    aligned = constrain(plain, WUKONG)
    assert aligned.after == (24, 24)
    assert len(aligned.raw) == 48
    assert "split" not in aligned.manifest.history[-2]


@pytest.mark.parametrize("method", ["exact", "pairs"])
def test_split_can_be_matched(method):
    aligned = constrain(uneven_splits(), AlignPlan(match=("size", "split"), method=method, generators=("wukong",)))
    assert aligned.manifest.count("split", "label")["val", "real"] == 4
    assert set(aligned.manifest.count(PAIR, "split").values()) == {2}
    assert aligned.raw.count("split", "label") == aligned.manifest.count("split", "label")


def test_a_scanned_genimage_tree_is_sent_to_the_table(tmp_path):
    toy.genimage(tmp_path)
    manifest = scan(tmp_path, layout="genimage")
    for plan in (AlignPlan(balance_content=True), AlignPlan(balance_content=True, match=("size",), method="pairs")):
        with pytest.raises(BadManifest, match="nothing is left after matching on content") as caught:
            constrain(manifest, plan)
        said = str(caught.value)
        assert "put genimage_metadata.csv beside the tree and scan it with --layout unbiased-genimage" in said
        assert "--no-balance-content" in said
        assert "strict-96" not in said


def test_a_list_without_files_is_told_from_a_set_of_one_class(tmp_path):
    toy.unbiased_genimage_table(tmp_path)
    manifest = scan(tmp_path)
    with pytest.raises(BadManifest, match=r"24 rows of this manifest .* not on this disk") as caught:
        align(manifest, AlignPlan(recode=RecodePlan()), tmp_path / "out", workers=0)
    assert "--recode none" in str(caught.value)
    aligned = align(manifest, AlignPlan(balance_content=True, within_splits=True), tmp_path / "out")
    assert aligned.after == (4, 4)
    reals = manifest.where("reals", ~is_fake(manifest))
    with pytest.raises(BadManifest, match="there is no fake picture"):
        constrain(reals, AlignPlan())


# UnbiasedGenImage's table


def test_a_fake_without_a_generator_has_no_place_in_the_table(tmp_path):
    manifest = uneven_splits()
    named = [value if k % 10 else None for k, value in enumerate(manifest.values("generator"))]
    lacking = sum(sample.fake and named[k] is None for k, sample in enumerate(manifest))
    with pytest.raises(BadManifest, match=f"{lacking} generated pictures without a generator.*names the generators"):
        write_metadata_csv(manifest.with_columns("torn", {"generator": named}), tmp_path / "x.csv")
    assert not (tmp_path / "x.csv").exists()


def test_a_table_without_classes_is_written_with_a_warning(tmp_path, caplog):
    manifest = uneven_splits()
    write_metadata_csv(manifest, tmp_path / "a.csv")
    assert not caplog.records
    write_metadata_csv(manifest.with_columns("words", {"content": ["dog"] * len(manifest)}), tmp_path / "b.csv")
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("fauxlens.manifest", "WARNING")
    assert "the column class of" in record.getMessage()
    assert len(read_metadata_csv(tmp_path / "b.csv")) == len(read_metadata_csv(tmp_path / "a.csv"))


# Words


def test_losses_are_said_in_plain_words():
    plain = constrain(uneven_splits(), AlignPlan(generators=("wukong",)))
    assert plain.table().rows == (("fake", "not made by wukong", 10), ("real", "more reals than fakes", 80))
    assert plain.manifest.history[-2].startswith("as many reals as fakes (exact, seed 42)")
    told = constrain(uneven(), AlignPlan(match=("size", "quality")))
    assert {"no fake of the same size, quality", "more reals than fakes of the same size, quality"} <= {
        loss.reason for loss in told.losses
    }


def test_hints_name_what_can_be_typed():
    with pytest.raises(BadSetting, match="add --match size"):
        AlignPlan(method="pairs")
    nameless = qualities([96], [96])
    with pytest.raises(BadManifest, match=r"no picture in this manifest has a generator .*wanted wukong"):
        constrain(nameless, AlignPlan(generators=("wukong",)))
    with pytest.raises(BadManifest, match="no picture in this manifest has a generator"):
        choose_by_mode(nameless, "classic", ModePlan(generator="wukong"))

"""Probes: each finds the bias that was planted for it, none finds anything in clean sets, and nothing breaks them."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import audit_sets
from fauxlens.audit.features import Features, features_of, stack
from fauxlens.audit.probes import PROBES, ProbeContext, run_probes
from fauxlens.audit.probes.comparison import comparisons
from fauxlens.audit.separation import association, likeness, separation
from fauxlens.audit.shortcut import Shortcut, with_alarms
from fauxlens.core.errors import UnknownName
from fauxlens.core.names import look_up
from fauxlens.manifest.manifest import Manifest

# Of one draw in twenty that may alarm, 200 draws show at most this share in all but one run of a hundred.
MOST_FALSE_ALARMS = 0.09


def alarms(manifest: Manifest, features: Features, **settings: object) -> dict[tuple[str, str | None], Shortcut]:
    found = run_probes(manifest, features, **settings)
    return {(one.title, one.generator): one for one in found if one.alarm}


def jpeg(values, quality):
    stream = io.BytesIO()
    Image.fromarray(audit_sets.to_pixels(values)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream).convert("RGB")).astype(float)


def layout(values, number):
    """One faint slope from the left to the right."""
    return values + np.linspace(-25, 25, values.shape[1])[None, :, None]


def pattern(values, number):
    return values + np.random.default_rng(99).normal(0, 1.5, (*values.shape[:2], 1))


def seeded(values, number):
    """One large-scale layout in four fifths of what is seen."""
    chance = np.random.default_rng(5)
    coarse = np.kron(chance.normal(0, 28, (6, 6, 1)), np.ones((16, 16, 1)))
    return values + coarse


def mark(values, number):
    values[-24:-14, -22:-8] = values[-24:-14, -22:-8] * 0.7 + 0.3 * 255
    return values


def framed(values, number):
    values[:1] = values[-1:] = 0
    return values


def compressed(values, number):
    return jpeg(values, 50)


@pytest.fixture(scope="module")
def clean() -> list:
    return audit_sets.pool(400)


@pytest.mark.parametrize(
    ("change", "title"),
    [
        (layout, "Thumbnails"),
        (seeded, "One layout for all"),
        (pattern, "One fixed pattern"),
        (mark, "Corners"),
        (framed, "Borders"),
        (compressed, "The 8 x 8 grid"),
    ],
)
def test_a_planted_bias_is_found_by_the_probe_for_it(change, title):
    manifest, features = audit_sets.set_of(audit_sets.planted(change))
    found = alarms(manifest, features)
    assert (title, None) in found
    one = found[title, None]
    assert one.statistic > one.interval[0] - 1e-9
    assert one.p_value <= 0.005
    assert one.effect
    assert one.meaning
    assert all(path.startswith("fake/") for path in one.examples)
    if title in ("Thumbnails", "Corners"):
        assert one.figures[0].media_type == "image/png"


def test_a_mark_does_not_alarm_the_probes_that_look_elsewhere():
    texture = np.random.default_rng(0).choice([-15, 15], (40, 40, 1))

    def textured(values, number):
        values[-44:-4, -44:-4] += texture
        return values

    found = alarms(*audit_sets.set_of(audit_sets.planted(textured, reals=25, fakes=25, size=320), reals=25))
    assert ("Corners", None) in found
    assert {"Thumbnails", "One layout for all", "One fixed pattern", "Similarity within one generator"}.isdisjoint(
        t for t, _ in found
    )


def test_one_subject_within_one_generator_is_found_and_named():
    chance = np.random.default_rng(3)
    scene = audit_sets.picture(chance)
    pictures = [audit_sets.picture(chance) for _ in range(60)]
    pictures += [0.75 * scene + 0.25 * audit_sets.picture(chance) + chance.normal(0, 5, 3) for _ in range(20)]
    manifest = audit_sets.manifest_of([at >= 40 for at in range(80)], generator=["fair"] * 60 + ["narrow"] * 20)
    features = stack(manifest, [features_of(audit_sets.to_pixels(one)) for one in pictures])
    found = alarms(manifest, features)
    assert ("Similarity within one generator", "narrow") in found
    assert ("Similarity within one generator", "fair") not in found
    assert found["Similarity within one generator", "narrow"].figures
    assert "within one generator" in found["Similarity within one generator", "narrow"].meaning


def test_one_seed_of_one_generator_is_told_by_its_name(clean):
    pictures = clean[:70] + audit_sets.planted(seeded, reals=0, fakes=30)
    manifest = audit_sets.manifest_of([at >= 40 for at in range(100)], generator=["many"] * 70 + ["one"] * 30)
    found = alarms(manifest, stack(manifest, pictures))
    assert ("One layout for all", "one") in found
    assert ("Thumbnails", "one") in found
    assert not any(generator == "many" for _, generator in found)


def test_reals_of_one_layout_are_no_charge_against_the_fakes():
    """The same plant, with the labels turned round."""
    pictures = audit_sets.planted(seeded)
    manifest = audit_sets.manifest_of([at < 40 for at in range(80)])
    found = alarms(manifest, stack(manifest, pictures))
    assert ("One layout for all reals", None) in found
    assert ("One layout for all", None) not in found
    assert ("Similarity within one generator", None) not in found
    one = found["One layout for all reals", None]
    assert "not the fakes" in one.meaning
    assert "the reals are" in one.effect
    assert all(path.startswith("real/") for path in one.examples)


def test_reals_of_one_layout_are_told_once_however_many_generators(clean):
    pictures = audit_sets.planted(seeded, reals=0, fakes=40) + clean[:60]
    manifest = audit_sets.manifest_of([at >= 40 for at in range(100)], generator=["x"] * 70 + ["y"] * 30)
    found = alarms(manifest, stack(manifest, pictures))
    assert {key for key in found if "layout" in key[0]} == {("One layout for all reals", None)}


def shaded(values, number):
    """A little more light above than below."""
    return values + np.linspace(6, -6, values.shape[0])[:, None, None]


@pytest.mark.parametrize("fakes", [40, 120])
def test_a_weak_shift_of_the_mean_is_no_single_seed(fakes):
    manifest, features = audit_sets.set_of(audit_sets.planted(shaded, reals=120, fakes=fakes), reals=120)
    assert {title for title, _ in alarms(manifest, features, names=["thumbnail", "seed", "similarity"])} <= {
        "Thumbnails"
    }


def test_a_trace_of_a_pattern_is_told_as_a_trace():
    def trace(strength):
        def change(values, number):
            return values + np.random.default_rng(99).normal(0, strength, (*values.shape[:2], 1))

        manifest, features = audit_sets.set_of(audit_sets.planted(change))
        found = run_probes(manifest, features, names=["seed"])
        return next(one for one in found if one.title == "One fixed pattern")

    faint, plain = trace(0.4), trace(1.5)
    assert faint.statistic < 0.03 < plain.statistic
    assert "one noise pattern that was added" not in faint.meaning
    assert "one noise pattern that was added" in plain.meaning


def test_uneven_contents_are_found(clean):
    content = ["dog"] * 25 + ["boat"] * 15 + ["dog"] * 6 + ["boat"] * 34
    manifest = audit_sets.manifest_of([at >= 40 for at in range(80)], content=content)
    found = alarms(manifest, stack(manifest, clean[100:180]))
    assert set(found) == {("Content against label", None)}
    one = found["Content against label", None]
    assert one.interval[0] < one.statistic < one.interval[1]
    assert {row[0]: row[1:3] for row in one.tables[0].rows} == {"dog": (25, 6), "boat": (15, 34)}


def test_copies_across_splits_and_labels_are_found(clean):
    pictures = [*clean[100:179], clean[105]]
    split = ["train"] * 40 + ["test"] * 40
    manifest = audit_sets.manifest_of([at >= 40 for at in range(80)], split=split)
    found = alarms(manifest, stack(manifest, pictures))
    assert set(found) == {("One picture under two labels", None), ("Copies across splits", None)}
    assert found["Copies across splits", None].examples == ("real/0005.png", "fake/0079.png")
    assert all(one.certain and one.p_value is None for one in found.values())


def test_no_copies_are_no_alarm_and_no_p_value(clean):
    manifest = audit_sets.manifest_of([at >= 40 for at in range(80)], split=["train"] * 40 + ["test"] * 40)
    found = run_probes(manifest, stack(manifest, clean[100:180]), names=["duplicates"])
    assert [(one.certain, one.p_value, one.alarm) for one in found] == [(False, None, False)] * 2


def test_near_copies_across_splits_are_looked_at_before_they_are_told(clean):
    values = audit_sets.picture(np.random.default_rng(7))
    near = [features_of(audit_sets.to_pixels(one)) for one in (values, values + 3)]
    other = replace(clean[3], phash=clean[2].phash)
    pictures = [*clean[:3], other, *clean[4:38], near[0], *clean[39:78], near[1]]
    split = ["train", "train", "train", "test", *["train"] * 36, *["test"] * 39]
    manifest = audit_sets.manifest_of([at >= 40 for at in range(79)], split=split)
    found = alarms(manifest, stack(manifest, pictures))
    assert found["Copies across splits", None].examples == ("real/0038.png", "fake/0078.png")


def resaved_set(clean, label, origin=None):
    """40 reals, 39 fakes and, last, the first real saved again as JPEG, called `label`."""
    values = audit_sets.picture(np.random.default_rng(7))
    pictures = [features_of(audit_sets.to_pixels(one)) for one in (values, jpeg(values, 70))]
    manifest = audit_sets.manifest_of([at >= 40 for at in range(80)], origin=origin)
    labels = [*manifest.column("label").to_pylist()[:-1], label]
    return manifest.with_columns("labels", {"label": labels}), [pictures[0], *clean[1:79], pictures[1]]


def test_a_real_saved_again_as_a_fake_is_found(clean):
    manifest, pictures = resaved_set(clean, "generated")
    one = alarms(manifest, stack(manifest, pictures))["One picture under two labels", None]
    assert one.examples == ("real/0000.png", "fake/0079.png")
    assert one.certain
    assert "1 pairs" not in one.effect
    assert "all but the same" in one.effect
    assert one.figures


def test_an_edited_picture_and_a_named_origin_may_look_alike(clean):
    for label, origin in (("edited", None), ("generated", [f"o{at % 79}" for at in range(80)])):
        manifest, pictures = resaved_set(clean, label, origin)
        assert not any(
            title == "One picture under two labels" for title, _ in alarms(manifest, stack(manifest, pictures))
        )


def test_digests_of_the_whole_manifest_count_when_they_are_known(clean):
    split = ["train"] * 40 + ["test"] * 40
    manifest = audit_sets.manifest_of([at >= 40 for at in range(80)], split=split)
    digests = [f"{at:064x}" for at in range(80)]
    digests[79] = digests[0]
    manifest = manifest.with_columns("digests", {"sha256": digests})
    found = alarms(manifest, stack(manifest, clean[100:180]))
    assert set(found) == {("One picture under two labels", None), ("Copies across splits", None)}


def test_clean_sets_raise_few_alarms(clean):
    alarming = [name for name in PROBES if name != "spectrum"]
    raised = [
        bool(alarms(*audit_sets.clean_set(clean, seed, count=80), seed=seed, names=alarming)) for seed in range(200)
    ]
    assert np.mean(raised) <= MOST_FALSE_ALARMS


def test_forgeries_of_all_photos_are_compared_with_their_photos():
    """A change that is far smaller than what photos differ by is seen, because each is compared with its own."""
    chance = np.random.default_rng(1)
    photos = [audit_sets.picture(chance) for _ in range(40)]
    pictures = [features_of(audit_sets.to_pixels(one)) for one in photos]
    pictures += [features_of(audit_sets.to_pixels(one + chance.normal(0, 1, 3))) for one in photos]
    origin = [f"o{at % 40}" for at in range(80)]
    manifest = audit_sets.manifest_of([at >= 40 for at in range(80)], origin=origin)
    features = stack(manifest, pictures)
    assert not any(one.alarm for one in run_probes(manifest, features) if one.name in ("thumbnail", "similarity"))


def test_the_choice_of_what_was_forged_is_seen_beside_other_photos(clean):
    """Forgeries of dark photos alone, among photos of all kinds: the forgery changes nothing, the choice tells."""
    chance = np.random.default_rng(2)
    dark = [audit_sets.picture(chance) * 0.3 for _ in range(30)]
    pictures = clean[:60] + [features_of(audit_sets.to_pixels(one + chance.normal(0, 1))) for one in dark + dark]
    origin = [f"p{at}" for at in range(60)] + [f"d{at % 30}" for at in range(60)]
    manifest = audit_sets.manifest_of([at >= 90 for at in range(120)], origin=origin)
    assert ("Thumbnails", None) in alarms(manifest, stack(manifest, pictures))


def test_the_same_seed_gives_the_same_answer_whatever_the_order_of_rows():
    pictures = audit_sets.planted(mark, reals=20, fakes=20)
    manifest, features = audit_sets.set_of(pictures, reals=20)
    order = np.random.default_rng(0).permutation(40)
    turned = manifest.take("turned", order)
    again = run_probes(turned, stack(turned, [pictures[at] for at in order]))
    assert [(o.name, o.statistic, o.p_value) for o in run_probes(manifest, features)] == [
        (o.name, o.statistic, o.p_value) for o in again
    ]


def degenerate() -> dict[str, tuple[Manifest, Features]]:
    pictures = audit_sets.pool(24)
    flat = features_of(np.full((64, 64, 3), 77, np.uint8))
    one_class = audit_sets.manifest_of([False] * 24)
    fakes_only = audit_sets.manifest_of([True] * 24)
    few = audit_sets.manifest_of([at >= 22 for at in range(24)])
    both = audit_sets.manifest_of([at >= 12 for at in range(24)], content=["dog"] * 24, split=["a"] * 24)
    one_origin = audit_sets.manifest_of([at >= 12 for at in range(24)], origin=["o"] * 24)
    empty = audit_sets.manifest_of([])
    return {
        "reals only": (one_class, stack(one_class, pictures)),
        "fakes only": (fakes_only, stack(fakes_only, pictures)),
        "two fakes": (few, stack(few, pictures)),
        "flat": (both, stack(both, [flat] * 24)),
        "flat fakes": (both, stack(both, pictures[:12] + [flat] * 12)),
        "one origin": (one_origin, stack(one_origin, pictures)),
        "nothing": (empty, stack(empty, [])),
    }


@pytest.mark.parametrize(
    "name", ["reals only", "fakes only", "two fakes", "flat", "flat fakes", "one origin", "nothing"]
)
def test_too_little_is_said_in_a_sentence(name):
    manifest, features = degenerate()[name]
    found = run_probes(manifest, features)
    assert {one.name for one in found} >= set(PROBES)
    assert not any(one.alarm for one in found)
    assert any(one.skipped for one in found)
    for one in found:
        assert one.skipped is None or (one.skipped.endswith(".") and "failed" not in one.skipped)


def test_a_probe_that_fails_is_named_and_the_others_go_on(clean, monkeypatch):
    monkeypatch.setitem(PROBES, "border", "fauxlens.audit.probes.nothing:probe")
    monkeypatch.setitem(PROBES, "grid", f"{__name__}:broken")
    monkeypatch.setattr("fauxlens.audit.probes.look_up", lambda table, name, kind: broken
                        if name == "grid" else look_up(table, name, kind))  # fmt: skip
    manifest, features = audit_sets.clean_set(clean, 2)
    found = {one.name: one for one in run_probes(manifest, features, names=["grid", "thumbnail"])}
    assert found["grid"].skipped == "The probe 'grid' failed: ValueError: planted"
    assert found["thumbnail"].statistic is not None


def broken(features, context):
    raise ValueError("planted")


def test_a_large_sample_is_compared_in_part_and_origins_stay_whole(clean, monkeypatch):
    monkeypatch.setattr("fauxlens.audit.probes.comparison.MOST_OF_A_CLASS", 20)
    manifest = audit_sets.manifest_of([at >= 40 for at in range(80)], origin=[f"o{at % 40}" for at in range(80)])
    features = stack(manifest, clean[100:180])
    (whole,) = comparisons(features, ProbeContext(manifest))
    assert len(whole.rows) == 40
    assert set(features.group[whole.rows[:20]]) == set(features.group[whole.rows[20:]])


def test_an_unknown_probe_is_refused(clean):
    with pytest.raises(UnknownName, match="thumbnial"):
        run_probes(*audit_sets.clean_set(clean, 2), names=["thumbnial"])


def test_results_from_elsewhere_share_the_level(clean):
    beside = Shortcut("metadata", "The file's facts", p_value=1e-6)
    found = run_probes(*audit_sets.clean_set(clean, 2), beside=[beside])
    assert found[0].name == "metadata"
    assert found[0].alarm


def test_series_are_those_that_are_documented(clean):
    manifest, features = audit_sets.clean_set(clean, 4)
    whole = {one.name: one for one in run_probes(manifest, features) if one.generator is None}
    assert set(whole["spectrum"].series) == {"frequency", "real", "fake", "a", "b"}
    assert {len(values) for values in whole["spectrum"].series.values()} == {64}
    assert whole["spectrum"].p_value is None
    assert set(whole["grid"].series) == {"phase", "real", "fake", "a", "b"}
    assert len(whole["thumbnail"].series["difference"]) == 1024


def test_every_probe_answers_with_its_own_words(clean):
    manifest, features = audit_sets.clean_set(clean, 4)
    context = ProbeContext(manifest)
    for name in PROBES:
        for one in look_up(PROBES, name, "probe")(features, context):
            assert one.title
            assert one.skipped or (one.statistic_name and one.effect and one.meaning)
            if one.p_value is not None and one.p_value > 0.05:
                assert one.meaning.startswith(("No sign", "There is nothing"))


def test_a_family_passes_its_level_on_only_when_all_of_it_is_alarmed():
    def of(family, *p_values):
        return [Shortcut(family, family, p_value=p_value, family=family) for p_value in p_values]

    found = with_alarms([*of("a", 0.001, 0.9), *of("b", 0.03)])
    assert [one.alarm for one in found] == [True, False, False]
    found = with_alarms([*of("a", 0.001, 0.02), *of("b", 0.03)])
    assert [one.alarm for one in found] == [True, True, True]
    assert not with_alarms([Shortcut("c", "context", statistic=0.9)])[0].alarm


def test_what_is_certain_takes_no_share_of_the_level_and_what_is_slight_is_no_alarm():
    found = with_alarms([Shortcut("copies", "Copies", certain=True), Shortcut("a", "A", p_value=0.04)])
    assert [one.alarm for one in found] == [True, True]
    found = with_alarms([Shortcut("a", "A", p_value=0.001, slight=True), Shortcut("b", "B", p_value=0.04)])
    assert [one.alarm for one in found] == [False, True]


@pytest.mark.parametrize("paired", [False, True])
def test_p_values_of_clean_numbers_are_uniform(paired):
    below = []
    for seed in range(150):
        chance = np.random.default_rng(seed)
        group = np.arange(60) // 2 if paired else np.arange(60)
        shared = chance.normal(size=(60, 4))[group] if paired else 0
        values = (chance.normal(size=(60, 4)) + shared).astype(np.float32)
        fake = np.arange(60) % 2 == 1
        found = separation(values, fake, group, seed=seed, permutations=199)
        alike = likeness((values @ values.T).astype(np.float32), fake, group, seed=seed, permutations=199)
        kind = chance.integers(0, 3, 60)
        related = association(kind, fake, group, seed=seed, permutations=199)
        below.append([one.p_value <= 0.1 for one in (found, alike, related)])
    assert (np.mean(below, axis=0) < 0.18).all()
    assert (np.mean(below, axis=0)[:2] > 0.03).all()


def test_the_auc_is_that_of_an_independent_library():
    from sklearn.metrics import roc_auc_score

    chance = np.random.default_rng(0)
    fake = np.arange(80) % 2 == 1
    values = (chance.normal(size=(80, 5)) + fake[:, None] * 0.6).astype(np.float32)
    found = separation(values, fake, np.arange(80), seed=1)
    assert found.auc == pytest.approx(roc_auc_score(found.fake, found.scores))
    assert found.interval[0] < found.auc < found.interval[1]
    assert found.p_value < 0.01

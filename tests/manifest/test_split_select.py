"""Splits that never tear a group apart or move old files; selection by conditions; one-to-one draws."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fauxlens.core.errors import BadSetting, UnknownName
from fauxlens.core.seeds import share_of
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample, sample_id
from fauxlens.manifest.select import one_to_one, select
from fauxlens.manifest.split import DEFAULT_SALT, SplitPlan, split


def make(count: int, *, forgeries: int = 0, sources: int = 1) -> Manifest:
    rows = []
    for number in range(count):
        source = f"s{number % sources}"
        real = Sample(id=sample_id(source, f"{number}"), path=f"{number}", label="real", source=source, width=number)
        rows.append(real.__class__(**{**as_dict(real), "origin": real.id}))
        for k in range(forgeries):
            path = f"{number}-{k}"
            facts = {"method": f"m{k % 2}", "mask_type": "stuff" if k < 2 else "background", "source": "forged"}
            rows.append(Sample(id=sample_id(source, path), path=path, label="edited", origin=real.id, **facts))
    return Manifest.from_samples(rows, Path())


def as_dict(sample: Sample) -> dict[str, object]:
    return {name: getattr(sample, name) for name in Sample.__slots__}


def splits(manifest: Manifest) -> dict[str, str]:
    return {s.path: s.split for s in manifest}


def test_the_rule_is_the_published_one():
    for sample in split(make(200)):
        u = share_of(DEFAULT_SALT, sample.origin)
        assert sample.split == ("train" if u < 0.8 else "val" if u < 0.9 else "test")


def test_shares_are_about_right():
    counts = Counter(splits(split(make(5000))).values())
    assert 3900 < counts["train"] < 4100
    assert 430 < counts["val"] < 570
    assert 430 < counts["test"] < 570


@settings(max_examples=25, deadline=None)
@given(old=st.integers(1, 40), new=st.integers(0, 40))
def test_adding_files_moves_no_old_one(old, new):
    before, after = splits(split(make(old))), splits(split(make(old + new)))
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize("exact", [False, True])
def test_what_belongs_together_stays_together(exact):
    made = split(make(100, forgeries=3), SplitPlan(exact=exact))
    by_origin: dict[str, set[str]] = {}
    for sample in made:
        by_origin.setdefault(sample.origin, set()).add(sample.split)
    assert all(len(found) == 1 for found in by_origin.values())


def test_exact_meets_the_counts_in_every_source():
    made = split(make(300, sources=3), SplitPlan(exact=True))
    assert made.count("source", "split") == {
        (f"s{k}", name): count for k in range(3) for name, count in (("test", 10), ("train", 80), ("val", 10))
    }
    # Floor for val and test, the remainder to train.
    assert split(make(19), SplitPlan(exact=True)).count("split") == {("test",): 1, ("train",): 17, ("val",): 1}


def test_exact_does_not_depend_on_the_order_of_rows():
    made = make(60)
    turned = made.take("reversed", list(range(59, -1, -1)))
    plan = SplitPlan(exact=True)
    assert splits(split(made, plan)) == splits(split(turned, plan))


def test_another_salt_is_another_split():
    assert splits(split(make(100))) != splits(split(make(100), SplitPlan(salt="other")))


def test_near_duplicates_can_be_kept_together():
    rows = [
        Sample(id=f"{n:04}", path=f"{n}", label="real", origin=f"{n:04}", phash=(n // 2) * 0x0101_0101_0101_0101)
        for n in range(200)
    ]
    made = Manifest.from_samples(rows, Path())
    apart = splits(split(made))
    joined = splits(split(made, SplitPlan(join_near_duplicates=True)))
    assert any(apart[str(2 * k)] != apart[str(2 * k + 1)] for k in range(100))
    assert all(joined[str(2 * k)] == joined[str(2 * k + 1)] for k in range(100))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"shares": (0.5, 0.5)}, "one share for each split"),
        ({"shares": (0.5, 0.4, 0.2)}, "sum to 1"),
        ({"names": ("a", "a", "b")}, "must be different"),
    ],
)
def test_plans_that_cannot_be_meant(plan, message):
    with pytest.raises(BadSetting, match=message):
        SplitPlan(**plan)


def test_conditions():
    made = make(20)
    assert len(select(made, "width>=10", "width<12")) == 2
    assert len(select(made, "label=real")) == 20
    assert len(select(made, "label!=real")) == 0
    assert [s.path for s in select(made, "path=3,4")] == ["3", "4"]
    assert len(select(made, "split=null")) == 20
    assert len(select(made, "split!=null")) == 0
    # Null matches neither a value nor its opposite.
    assert len(select(made, "split=train")) == len(select(made, "split!=train")) == 0
    assert select(made, " width == 7 ").history == ("width == 7: kept 1 of 20",)


def test_a_text_can_be_asked_for_a_piece():
    made = Manifest.from_columns(
        {
            "id": list("abcd"),
            "path": list("abcd"),
            "label": ["real"] * 4,
            "notes": ["lists: test_all, test_gan x2", "lists: test_all", "a.b", None],
        },
        Path(),
    )

    def ids(condition):
        return "".join(s.id for s in select(made, condition))

    assert (ids("notes~test_gan"), ids("notes ~ test_"), ids("notes~x2,a.b")) == ("a", "ab", "ac")
    # A piece is no pattern, and null holds nothing.
    assert (ids("notes~a.t"), ids("notes!~test_gan"), ids("notes!~test_,a.b")) == ("", "bcd", "d")
    assert select(made, "notes!~x2").history == ("notes!~x2: kept 3 of 4",)
    with pytest.raises(BadSetting, match="only a text can hold a piece"):
        select(made, "width~4")
    with pytest.raises(BadSetting, match="in every text"):
        select(made, "notes~a,")


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("width", "COLUMN OPERATOR VALUE"),
        ("widht>3", "Did you mean 'width'"),
        ("width>wide", "wanted a whole number, got 'wide'"),
        ("label>real", "only numbers are larger or smaller"),
        ("jpeg_quality_exact=maybe", "wanted true or false"),
    ],
)
def test_conditions_that_cannot_be_meant(condition, message):
    with pytest.raises(BadSetting, match=message):
        select(make(3), condition)


def paths(manifest: Manifest) -> set[str]:
    return {s.path for s in manifest}


def test_fixed_is_one_list_for_all_epochs():
    made = make(20, forgeries=3)
    chosen = one_to_one(made, "fixed", seed=3, epoch=0)
    assert chosen.count("label") == {("edited",): 20, ("real",): 20}
    assert paths(chosen) == paths(one_to_one(made, "fixed", seed=3, epoch=5))
    assert paths(chosen) != paths(one_to_one(made, "fixed", seed=4))
    turned = made.take("reversed", list(range(len(made) - 1, -1, -1)))
    assert paths(one_to_one(turned, "fixed", seed=3)) == paths(chosen)


def test_each_epoch_draws_anew():
    made = make(20, forgeries=3)
    drawn = [paths(one_to_one(made, "each-epoch", seed=1, epoch=e)) for e in range(3)]
    assert len({frozenset(d) for d in drawn}) == 3
    assert drawn[1] == paths(one_to_one(made, "each-epoch", seed=1, epoch=1))


def test_each_origin_takes_one_forgery_of_every_photo_uniform_over_method_and_mask_type():
    made = make(300, forgeries=5)  # methods m0 (3), m1 (2); stuff (2), background (3): four cells
    chosen = one_to_one(made, "each-origin", seed=1, epoch=0)
    forged = [s for s in chosen if s.fake]
    assert len(forged) == 300
    assert len({s.origin for s in forged}) == 300
    cells = Counter((s.method, s.mask_type) for s in forged)
    assert len(cells) == 4
    assert all(50 < count < 100 for count in cells.values())
    assert "each-origin, seed 1, epoch 0" in chosen.history[-1]


def test_each_origin_pairs_by_the_value_of_origin():
    made = make(20, forgeries=3)
    named = made.with_columns("named", {"origin": [f"g-{s.path.partition('-')[0]}" for s in made]})
    chosen = one_to_one(named, "each-origin", seed=1)
    assert chosen.count("label") == {("edited",): 20, ("real",): 20}
    assert len({s.origin for s in chosen}) == 20


def test_of_two_copies_of_a_photo_one_is_drawn():
    rows = [Sample(id=str(n), path=str(n), label="real", origin="g") for n in range(2)]
    made = Manifest.from_samples([*rows, Sample(id="f", path="f", label="edited", origin="g")], Path())
    assert one_to_one(made, "each-origin").count("label") == {("edited",): 1, ("real",): 1}


@pytest.mark.parametrize("how", ["fixed", "each-epoch", "each-origin"])
@pytest.mark.parametrize(("label", "lacking"), [("real", "forged"), ("edited", "real")])
def test_a_draw_from_one_class_names_the_empty_one(how, label, lacking):
    with pytest.raises(BadSetting, match=f"no {lacking} rows"):
        one_to_one(select(make(3, forgeries=1), f"label={label}"), how)


def test_a_draw_in_which_nothing_pairs_says_so():
    made = make(3, forgeries=1)
    strangers = made.with_columns("torn", {"origin": [str(n) for n in range(len(made))]})
    with pytest.raises(BadSetting, match=r"nothing pairs.*3 real and 3 forged.*fixed"):
        one_to_one(strangers, "each-origin")


def test_an_unknown_rule_names_the_others():
    with pytest.raises(UnknownName, match="each-epoch, each-origin, fixed"):
        one_to_one(make(3), "balanced")

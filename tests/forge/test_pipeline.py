from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from fauxlens.core.errors import BadManifest, BadSetting, NoWeights, OtherPlan, WorkError
from fauxlens.core.files import sha256_of
from fauxlens.core.settings import settings_from
from fauxlens.forge import stages
from fauxlens.forge.photos import photos_of
from fauxlens.forge.pipeline import Forged, check_ready, facts_of, forge
from fauxlens.forge.publish import publish
from fauxlens.forge.recipe import Recipe
from fauxlens.forge.stages import read_mask
from fauxlens.images.encode import encode_png
from fauxlens.images.picture import read_picture
from fauxlens.manifest.manifest import Manifest, read_manifest
from fauxlens.manifest.scan import scan
from landscapes import photo_folder


def _recipe(**more: object) -> Recipe:
    plain = {
        "name": "toy",
        "methods": [{"name": "telea"}, {"name": "splice"}],
        "perceive": {"provider": "random", "mask_types": ["region"]},
        "judges": [{"name": "integrity"}],
        "quota": {"reserve": 0.0},
    }
    return settings_from(Recipe, {**plain, **more})


def _manifest(folder: Path) -> Manifest:
    # Two of a split at least, or a splice has nobody to take from.
    found = photos_of(folder)
    return found.with_columns("split by hand", {"split": [("train", "val")[k >= 4] for k in range(len(found))]})


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("photos") / "holiday", 6)


@pytest.fixture(scope="module")
def done(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Forged:
    return forge(_manifest(photos), tmp_path_factory.mktemp("forged"), _recipe(), workers=0)


def _files(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith("work/"):
            found[name] = sha256_of(path)
    return found


def test_every_photo_is_forged_by_every_method(done: Forged) -> None:
    assert done.made == {("region", "telea"): 6, ("region", "splice"): 6}
    assert done.missing == {}
    assert done.failed == 0
    assert done.manifest.count("label") == {("edited",): 12, ("real",): 6}
    assert done.sentence == "12 forgeries of 6 photos, complete"


def test_a_forgery_is_its_photo_outside_its_mask(done: Forged) -> None:
    reals = {one.origin: one for one in done.manifest if one.label == "real"}
    looked = 0
    for one in done.manifest:
        if one.label != "edited":
            continue
        forged = read_picture(done.manifest.path_of(one)).pixels
        real = read_picture(done.manifest.path_of(reals[one.origin])).pixels
        mask = read_mask(done.manifest.mask_path_of(one))  # type: ignore[arg-type]
        assert np.array_equal(forged[~mask], real[~mask])
        assert (forged[mask] != real[mask]).any()
        looked += 1
    assert looked == 12


def test_a_photo_and_its_forgeries_share_split_origin_and_source(done: Forged) -> None:
    rows = list(done.manifest)
    for origin in {one.origin for one in rows}:
        family = [one for one in rows if one.origin == origin]
        assert len({(one.split, one.source) for one in family}) == 1
        assert len(family) == 3


def test_everything_that_decided_is_in_the_manifest(done: Forged) -> None:
    table = pq.read_table(done.folder / "manifest.parquet").to_pylist()
    forged = [row for row in table if row["label"] == "edited"]
    for row in forged:
        assert row["prompt"]
        assert row["caption"]
        assert row["region_provider"] == "random"
        assert row["area"] == pytest.approx(read_mask(done.folder / row["mask_path"]).mean(), abs=1e-5)
        assert json.loads(row["parameters"])["working_size"] == [96, 128]
        assert [one["judge"] for one in json.loads(row["judges"])] == ["integrity"]
        assert row["mask_sha256"] == sha256_of(done.folder / row["mask_path"])
        assert row["sha256"] == sha256_of(done.folder / row["path"])
        assert row["method_licence"]
        assert row["variant"] == "spliced"
        assert (row["notes"] or "").startswith("holds a part of photo ") == (row["method"] == "Splice")
    assert {row["family"] for row in forged} == {"classical", "splice"}
    assert read_manifest(done.folder / "manifest.parquet").equals(done.manifest)


def test_reals_went_through_the_same_file_history(photos: Path, tmp_path: Path) -> None:
    chain = "resize:scale=0.6-0.9 | jpeg:quality=60-95"
    recipe = _recipe(delivery={"chain": chain, "per": "forgery"})
    made = forge(_manifest(photos), tmp_path, recipe, workers=0)
    assert made.manifest.count("label") == {("edited",): 12, ("real",): 12}
    facts = ("width", "height", "format", "jpeg_quality", "subsampling", "metadata", "bit_depth", "colour")
    by_history: dict[str, list[tuple]] = {}
    rows = zip(made.manifest, made.manifest.column("delivery").to_pylist(), strict=True)
    for one, delivery in rows:
        by_history.setdefault(f"{one.origin}{delivery}", []).append(
            (one.label, *(getattr(one, name) for name in facts))
        )
    assert len(by_history) == 12  # each forgery has a draw of its own, and its twin has the same
    for pair in by_history.values():
        assert {one[0] for one in pair} == {"real", "edited"}
        assert len({one[1:] for one in pair}) == 1


def test_a_release_is_read_by_its_own_layout(done: Forged, photos: Path, tmp_path: Path) -> None:
    # The control type `region` is ours; the release knows two.
    recipe = _recipe(
        perceive={
            "provider": "random",
            "mask_types": ["stuff", "background"],
            "settings": {"mask_types": ["stuff", "background"]},
        },
        delivery={"chain": "jpeg:quality=90", "per": "forgery"},
    )
    made = forge(_manifest(photos), tmp_path / "twins", recipe, workers=0)
    found = scan(made.folder, "brgen")
    by_path = {one.path: one for one in found}
    wanted = {one.path: one for one in made.manifest}
    assert by_path.keys() == wanted.keys()
    for path, one in wanted.items():
        assert (by_path[path].label, by_path[path].mask_path) == (one.label, one.mask_path), path
    plain = scan(
        forge(
            _manifest(photos),
            tmp_path / "plain",
            _recipe(perceive={"provider": "random", "mask_types": ["stuff"], "settings": {"mask_types": ["stuff"]}}),
            workers=0,
        ).folder,
        "brgen",
    )
    assert plain.count("label") == {("edited",): 12, ("real",): 6}


def test_the_lists_hold_as_many_forgeries_as_photos_in_train_and_all_elsewhere(done: Forged) -> None:
    for split in {one.split for one in done.manifest}:
        pairs = json.loads((done.folder / f"{split}.json").read_text())
        reals = [pair for pair in pairs if pair[1] == "Negative"]
        here = done.manifest.count("split", "label")
        assert len(reals) == here[split, "real"]
        wanted = len(reals) if split == "train" else here[split, "edited"]
        assert len(pairs) - len(reals) == wanted
        assert all((done.folder / path).is_file() for pair in pairs for path in pair if path != "Negative")


def test_the_same_files_with_two_workers(done: Forged, photos: Path, tmp_path: Path) -> None:
    forge(_manifest(photos), tmp_path, _recipe(), workers=2)
    assert _files(tmp_path) == _files(done.folder)


def test_another_seed_makes_another_set(done: Forged, photos: Path, tmp_path: Path) -> None:
    forge(_manifest(photos), tmp_path, _recipe(seed=1), workers=0)
    other, first = _files(tmp_path), _files(done.folder)
    same = [name for name in other if "Splice" in name and other[name] == first.get(name)]
    assert same == []


def test_a_method_that_fails_on_one_photo_is_written_down_and_ends_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fauxlens.forge.create.classical import Telea

    plain = Telea.make

    def sometimes(self: Telea, request: object) -> object:
        if int(request.pixels[0, 0, 0]) == bad:  # type: ignore[attr-defined]
            raise RuntimeError("the model has no word for this")
        return plain(self, request)  # type: ignore[arg-type]

    manifest = _manifest(photos)
    bad = int(read_picture(manifest.path_of(manifest[0])).pixels[0, 0, 0])
    met = sum(int(read_picture(manifest.path_of(one)).pixels[0, 0, 0]) == bad for one in manifest)
    monkeypatch.setattr(Telea, "make", sometimes)
    made = forge(manifest, tmp_path, _recipe(), workers=0)
    assert {(one.kind, one.message) for one in made.failures} == {("RuntimeError", "the model has no word for this")}
    assert len(made.failures) == met
    assert made.made["region", "telea"] == 6 - met
    assert made.missing == {("region", "telea"): met}
    assert f"complete with {met} failures" in made.sentence
    lines = [
        line for path in (tmp_path / "work/create-01/shards").glob("*.jsonl") for line in path.read_text().splitlines()
    ]
    outcomes = [json.loads(line) for line in lines]
    failed = [one for one in (line["outcome"]["result"] for line in outcomes) if one["accepted"] is None]
    assert len(failed) == met
    assert [try_["error"]["kind"] for try_ in failed[0]["tried"]] == ["RuntimeError"] * 3
    assert len({try_["seed"] for try_ in failed[0]["tried"]}) == 3


def test_what_is_rejected_is_tried_again_and_then_replaced_from_the_reserve(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fauxlens.forge.judge.integrity import Integrity
    from fauxlens.forge.judge.judge import Exhibit, Ruling

    manifest = _manifest(photos)
    seen: list[bytes] = []

    def severe(self: Integrity, exhibit: Exhibit) -> Ruling:
        photo = exhibit.original.tobytes()
        seen.append(photo)
        # The first photo never passes; any other passes at its second attempt.
        return Ruling("integrity", 1.0, photo != seen[0] and seen.count(photo) % 2 == 0, "even")

    monkeypatch.setattr(Integrity, "rule", severe)
    recipe = _recipe(methods=[{"name": "telea"}], quota={"photos": 3})
    made = forge(manifest, tmp_path, recipe, workers=0)
    assert made.rounds == 2
    assert made.made == {("region", "telea"): 3}
    assert made.missing == {}
    assert made.failed == 0
    assert made.rejected["integrity"] == 3 + 3  # three attempts of the one, one of each of the three that passed
    assert [row for row in made.manifest.column("attempt").to_pylist() if row is not None] == [1, 1, 1]


def test_a_quota_that_cannot_be_met_says_so(photos: Path, tmp_path: Path) -> None:
    made = forge(_manifest(photos), tmp_path, _recipe(quota={"photos": 9}), workers=0)
    assert sum(made.made.values()) == 12
    assert any("3 of 9 photos are missing" in remark for remark in made.remarks)


def test_a_full_disk_stops_the_run_and_the_same_call_goes_on(
    done: Forged, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, written = stages.write_bytes, []

    def full(target: Path, data: bytes) -> None:
        if "Telea" in target.name and len(written) > 2:
            raise OSError(28, "No space left on device", str(target))
        written.append(target)
        plain(target, data)

    with monkeypatch.context() as patch:
        patch.setattr(stages, "write_bytes", full)
        with pytest.raises(WorkError, match="the disk is full"):
            forge(_manifest(photos), tmp_path, _recipe(), workers=0)
    forge(_manifest(photos), tmp_path, _recipe(), workers=0)
    assert _files(tmp_path) == _files(done.folder)


def test_a_photo_that_is_alone_in_its_split_takes_from_nobody(photos: Path, tmp_path: Path) -> None:
    found = photos_of(photos)
    alone = found.with_columns("split by hand", {"split": ["test", *["train"] * (len(found) - 1)]})
    made = forge(alone, tmp_path, _recipe(methods=[{"name": "splice"}]), workers=0)
    (lost,) = made.failures
    assert lost.kind == "BadSetting"
    assert "no other photo of its split" in lost.message
    assert lost.what.startswith("photo_000.png, region, splice")
    assert made.made == {("region", "splice"): 5}


def test_photos_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path / "mixed", 3)
    photo_folder(tmp_path / "small", 1, height=60, width=60)
    (tmp_path / "small/photo_000.png").rename(folder / "small.png")
    whole = (folder / "photo_001.jpg").read_bytes()
    (folder / "torn.jpg").write_bytes(whole[: len(whole) // 2])
    made = forge(_manifest(folder), tmp_path / "out", _recipe(), workers=0)
    assert made.photos == 5
    assert {one.what: one.kind for one in made.unusable} == {"small.png": "BadShape", "torn.jpg": "UnreadableImage"}
    assert sum(made.made.values()) == 6
    assert "complete with 2 failures" in made.sentence


def test_both_variants_lie_apart_and_share_a_mask(photos: Path, tmp_path: Path) -> None:
    recipe = _recipe(methods=[{"name": "telea"}], compose={"variants": ["spliced", "regenerated"]})
    made = forge(_manifest(photos), tmp_path, recipe, workers=0)
    forged = [one for one in made.manifest if one.label == "edited"]
    assert {one.variant for one in forged} == {"spliced", "regenerated"}
    assert len({one.mask_path for one in forged}) == 6
    assert all(one.path.startswith("Regenerated/") == (one.variant == "regenerated") for one in forged)


def test_a_set_is_not_finished_with_other_weights(photos: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    (weights / "telea").mkdir(parents=True)
    (weights / "telea" / "w.bin").write_bytes(b"one")
    recipe = _recipe(methods=[{"name": "telea"}])
    forge(_manifest(photos), tmp_path / "out", recipe, workers=0, weights=weights)
    (weights / "telea" / "w.bin").write_bytes(b"two")
    with pytest.raises(OtherPlan, match=r"settings\.weights_found\.telea was"):
        forge(_manifest(photos), tmp_path / "out", recipe, workers=0, weights=weights)


def test_nothing_forged_is_no_success(tmp_path: Path) -> None:
    folder = tmp_path / "flat"
    folder.mkdir()
    (folder / "grey.png").write_bytes(encode_png(np.full((200, 200, 3), 128, np.uint8)))
    recipe = _recipe(perceive={"provider": "embedded"}, methods=[{"name": "telea"}])
    made = forge(photos_of(folder), tmp_path / "out", recipe, workers=0)
    assert made.without_region == {"stuff": 1, "background": 1}
    assert made.sentence == "nothing could be forged of 1 photos"


def test_page_card_and_facts(done: Forged, tmp_path: Path) -> None:
    pages = publish(done, audited=False)
    page = pages.page.read_text()
    assert "Contact sheet" in page
    assert "data:image/jpeg" in page
    card = pages.card.read_text()
    for told in ("| telea | classical | 6 |", "12 forgeries of 6 photos", "holiday", "Known limits", "not audited"):
        assert told in card, told
    assert json.loads((done.folder / "forge.json").read_text()) == json.loads(json.dumps(facts_of(done)))


def test_what_is_wrong_for_every_photo_is_said_before_anything_starts(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(NoWeights, match=r"sdxl needs files .*hf download"):
        check_ready(_recipe(methods=[{"name": "sdxl"}]), weights=tmp_path)
    with pytest.raises(BadSetting, match="among the originals"):
        forge(_manifest(photos), photos, _recipe())
    with pytest.raises(BadSetting, match="among the originals"):
        forge(_manifest(photos), photos / "forged", _recipe())
    with pytest.raises(BadSetting, match="no device called"):
        forge(_manifest(photos), tmp_path / "x", _recipe(), device="banana")
    with pytest.raises(BadManifest, match="no picture in this folder"):
        photos_of(tmp_path)
    manifest = _manifest(photos)
    edited = manifest.with_columns("all edited", {"label": ["edited"] * len(manifest)})
    with pytest.raises(BadManifest, match="no usable photo"):
        forge(edited, tmp_path, _recipe())
    assert not (tmp_path / "work").exists()

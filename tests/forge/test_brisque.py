"""BRISQUE: the fit of shapes against distributions whose shape is known, the features, our regressor, others' files."""

from __future__ import annotations

import json
import math
import pickle

import numpy as np
import pytest

from fauxlens.core.errors import BadManifest, BadShape, BadWeights, NoWeights
from fauxlens.forge.judge import brisque_package, fit_brisque
from fauxlens.forge.judge.brisque import (
    FEATURES,
    OWN_REGRESSOR,
    Regressor,
    brisque_features,
    brisque_score,
    contrast_map,
    fit_shape,
    own_regressor,
    read_regressor,
)
from fauxlens.forge.judge.judge import Exhibit, load_judge
from fauxlens.images.degrade import parse_chain
from fauxlens.images.encode import encode_png
from fauxlens.manifest.manifest import Manifest
from fauxlens.manifest.sample import Sample
from photo_like import photo_like


def drawn_shape(alpha, left, right, count=200_000, seed=1):
    """Draws of a generalised Gaussian with two sides of these scales."""
    chance = np.random.default_rng(seed)
    size = chance.gamma(1 / alpha, 1.0, count) ** (1 / alpha)
    is_left = chance.random(count) < left / (left + right)
    return np.where(is_left, -left * size, right * size)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize(("left", "right"), [(1.0, 1.0), (0.5, 1.5)])
def test_the_fit_recovers_what_was_drawn(alpha, left, right):
    values = drawn_shape(alpha, left, right)
    shape = fit_shape(values)
    assert shape.alpha == pytest.approx(alpha, rel=0.05)
    spread = math.gamma(3 / alpha) / math.gamma(1 / alpha)
    # The square of what has heavy tails is sure to a few hundredths only.
    assert shape.left == pytest.approx(left**2 * spread, rel=0.08)
    assert shape.right == pytest.approx(right**2 * spread, rel=0.08)
    assert shape.mean == pytest.approx(values.mean(), abs=0.02 * values.std())


def test_the_fit_of_hand_made_values():
    # Mean absolute and mean square are both 1, as of no bell: the largest alpha there is.
    two_sides = fit_shape([-1.0, 1.0, -1.0, 1.0])
    assert (float(two_sides.alpha), float(two_sides.mean)) == (10.0, 0.0)
    assert (float(two_sides.left), float(two_sides.right)) == (1.0, 1.0)
    one_side = fit_shape([0.0, 0.0, 3.0])
    assert (float(one_side.left), float(one_side.right)) == (0.0, 9.0)
    assert one_side.mean > 0


def test_rows_are_fitted_as_one_by_one():
    rows = np.stack([drawn_shape(1.3, 1, 2, 500, seed) for seed in range(3)] + [np.zeros(500)])
    together = fit_shape(rows)
    for number, row in enumerate(rows):
        alone = fit_shape(row)
        assert together.alpha[number] == alone.alpha
        assert together.mean[number] == pytest.approx(float(alone.mean), abs=1e-12)


def test_contrast_of_a_constant_is_nothing():
    assert np.abs(contrast_map(np.full((20, 30), 0.37))).max() < 1e-9


def test_a_mirrored_picture_exchanges_the_diagonals():
    pixels = photo_like(3, 64, 96)
    plain, mirrored = brisque_features(pixels), brisque_features(pixels[:, ::-1].copy())
    assert plain.shape == (FEATURES,)
    exchanged = np.arange(FEATURES)
    for start in (0, 18):
        exchanged[start + 10 : start + 14], exchanged[start + 14 : start + 18] = (
            np.arange(start + 14, start + 18),
            np.arange(start + 10, start + 14),
        )
    assert np.allclose(plain[exchanged], mirrored, atol=2e-3)


def test_too_small_and_without_contrast():
    with pytest.raises(BadShape, match="sides of at least 16"):
        brisque_features(np.zeros((15, 40, 3), np.uint8))
    assert brisque_score(np.zeros((15, 40, 3), np.uint8)) is None
    assert brisque_score(np.full((32, 32, 3), 90, np.uint8)) is None


def test_our_regressor_orders_damages():
    pixels = photo_like(5, 256, 320)
    plain = brisque_score(pixels)
    assert plain is not None
    ladders = {"blur:sigma={}": (1, 2, 4), "noise:deviation={}": (10, 25, 45), "jpeg:quality={}": (30, 15, 8)}
    for ladder, strengths in ladders.items():
        damaged = [parse_chain(ladder.format(one)).apply(pixels, seed=0).pixels for one in strengths]
        weak, middle, strong = (brisque_score(one) for one in damaged)
        assert plain < weak < middle < strong


def test_our_regressor_says_what_it_was_fitted_on():
    card = own_regressor().card
    assert card is not None
    figures = card["figures_on_photos_not_fitted"]
    assert figures["none"]["above_60"] == 0
    assert figures["blur:sigma=2"]["above_60"] > 0.7
    assert card["fitted_on"]["photos"] > figures["photos"] > 50
    assert card["fitted_on"]["licences"]
    assert OWN_REGRESSOR.stat().st_size < 200_000


def test_a_regressor_that_does_not_fit(tmp_path):
    stored = json.loads(OWN_REGRESSOR.read_text(encoding="utf-8"))
    bad = tmp_path / "bad.json"
    for change in ({"low": stored["low"][:5]}, {"gamma": 0}, {"weights": []}, {"high": stored["low"]}, {"clip": "x"}):
        bad.write_text(json.dumps({**stored, **change}), encoding="utf-8")
        with pytest.raises(BadWeights, match=r"bad\.json"):
            read_regressor(bad)
    bad.write_text("{", encoding="utf-8")
    with pytest.raises(BadWeights, match="can be read"):
        read_regressor(bad)
    with pytest.raises(BadWeights, match="can be read"):
        read_regressor(tmp_path / "none.json")


TOY_VECTORS = """svm_type epsilon_svr
kernel_type rbf
gamma 0.5
nr_class 2
total_sv 2
rho -4
SV
2 1:1 3:-0.5
-1 36:1
"""


def toy_ranges():
    return "x\n-1 1\n" + "".join(f"{index} 0 2\n" for index in range(1, 37))


def test_other_coefficients_are_summed_as_by_hand(tmp_path):
    (tmp_path / "svm.txt").write_text(TOY_VECTORS, encoding="utf-8")
    (tmp_path / "ranges.txt").write_text(toy_ranges(), encoding="utf-8")
    regressor = brisque_package.read_coefficients(tmp_path)
    features = np.ones(36)  # the middle of each range, so zero once scaled
    features[0] = 2.0  # 1 once scaled
    # To the first centre only the third feature is away, by 0.5; to the second the first and the last, by 1 each.
    by_hand = 2 * math.exp(-0.5 * 0.25) - math.exp(-0.5 * 2.0) + 4
    assert regressor.score(features) == pytest.approx(by_hand, abs=1e-12)


def test_the_table_of_ranges_is_read_without_running_it(tmp_path):
    (tmp_path / "svm.txt").write_text(TOY_VECTORS, encoding="utf-8")
    table = tmp_path / "normalize.pickle"
    table.write_bytes(pickle.dumps({"min_": [0.0] * 36, "max_": [2.0] * 36}))
    assert brisque_package.read_coefficients(tmp_path).high.tolist() == [2.0] * 36
    table.write_bytes(pickle.dumps({"min_": [0.0] * 36, "max_": print}))
    with pytest.raises(BadWeights, match="is no number"):
        brisque_package.read_coefficients(tmp_path)


@pytest.mark.parametrize(
    ("change", "to", "message"),
    [
        ("epsilon_svr", "nu_svr", "another kind"),
        ("total_sv 2", "total_sv 3", "2 support vectors of 3"),
        ("36:1", "37:1", "feature 37"),
        ("SV\n", "", "libsvm's format"),
        ("gamma 0.5\n", "", "gamma"),
    ],
)
def test_other_files_are_refused(tmp_path, change, to, message):
    (tmp_path / "svm.txt").write_text(TOY_VECTORS.replace(change, to), encoding="utf-8")
    (tmp_path / "ranges.txt").write_text(toy_ranges(), encoding="utf-8")
    with pytest.raises(BadWeights, match=message):
        brisque_package.read_coefficients(tmp_path)


def test_ranges_that_are_none(tmp_path):
    (tmp_path / "svm.txt").write_text(TOY_VECTORS, encoding="utf-8")
    for text in ("", "x\n0 1\n1 0 1\n", "x\n-1 1\n1 0 1\n", "x\n-1 1\none 0 1\n"):
        (tmp_path / "ranges.txt").write_text(text, encoding="utf-8")
        with pytest.raises(BadWeights):
            brisque_package.read_coefficients(tmp_path)


def test_the_judge_with_other_coefficients(tmp_path):
    pixels = photo_like(1, 64, 64)
    exhibit = Exhibit(original=pixels, forged=pixels, mask=np.eye(64, dtype=bool))
    with pytest.raises(NoWeights, match="pip install brisque") as gone:
        load_judge("brisque-package", weights=tmp_path).rule(exhibit)
    assert "Apache-2.0" in str(gone.value)
    (tmp_path / "svm.txt").write_text(TOY_VECTORS, encoding="utf-8")
    (tmp_path / "ranges.txt").write_text(toy_ranges(), encoding="utf-8")
    high = load_judge("brisque-package", {"limit": 60.0}, weights=tmp_path).rule(exhibit)
    assert high.passed
    assert high.value == pytest.approx(brisque_score(pixels, brisque_package.read_coefficients(tmp_path)))
    low = load_judge("brisque-package", {"limit": 0.0}, weights=tmp_path).rule(exhibit)
    assert low.passed is (low.value <= 0)


def test_an_installed_package_is_found_and_not_run(tmp_path, monkeypatch):
    models = tmp_path / "brisque" / "models"
    models.mkdir(parents=True)
    (tmp_path / "brisque" / "__init__.py").write_text("raise AssertionError('was run')", encoding="utf-8")
    (models / "svm.txt").write_text(TOY_VECTORS, encoding="utf-8")
    (models / "ranges.txt").write_text(toy_ranges(), encoding="utf-8")
    monkeypatch.setenv("FAUXLENS_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.syspath_prepend(tmp_path)
    pixels = photo_like(1, 64, 64)
    ruling = load_judge("brisque-package").rule(Exhibit(original=pixels, forged=pixels, mask=np.eye(64, dtype=bool)))
    assert ruling.value == pytest.approx(brisque_score(pixels, brisque_package.read_coefficients(models)))


def toy_manifest(root, count):
    samples = []
    for number in range(count):
        path = f"{number}.png"
        (root / path).write_bytes(encode_png(photo_like(number, 128, 136)))
        split = "test" if number >= count - 2 else "train"
        samples.append(Sample(id=str(number), path=path, label="real", source="toy", split=split, licence="ours"))
    manifest = Manifest.from_samples(samples, root)
    return manifest.save(root / "m.parquet")


def test_a_regressor_is_fitted_and_read_again(tmp_path, capsys):
    manifest = toy_manifest(tmp_path, 8)
    written = []
    for name in ("one.json", "two.json"):
        fit_brisque.main(["--manifest", str(manifest), "--output", str(tmp_path / name), "--seed", "3"])
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    assert "error" in capsys.readouterr().out
    regressor = read_regressor(tmp_path / "one.json")
    assert regressor.card["fitted_on"] == {"photos": 6, "sources": {"toy": 6}, "licences": {"ours": 6}}
    seen = photo_like(0, 128, 136)
    blurred = parse_chain("blur:sigma=3").apply(seen, seed=0).pixels
    assert regressor.score(brisque_features(seen)) + 20 < regressor.score(brisque_features(blurred))


def test_too_few_photos_to_fit(tmp_path):
    manifest = toy_manifest(tmp_path, 4)
    with pytest.raises(BadManifest, match="too few real photos"):
        fit_brisque.main(["--manifest", str(manifest), "--output", str(tmp_path / "none.json")])
    assert not (tmp_path / "none.json").exists()


def test_targets_are_the_worse_of_two_damages():
    levels = {"blur": 60.0, "noise": 50.0, "jpeg": 52.0}
    both = fit_brisque.Damage("x", (("blur", 0.5), ("jpeg", 1.0)))
    beyond = fit_brisque.Damage("x", (("blur", 3.0),))
    assert fit_brisque.targets([fit_brisque.NOTHING, both, beyond], levels, 10.0).tolist() == [10.0, 52.0, 100.0]


def test_a_regressor_checks_its_parts():
    parts = {"low": np.zeros(36), "high": np.ones(36), "centres": np.zeros((2, 36)), "weights": np.ones(2)}
    assert Regressor(**parts, gamma=0.1, offset=0.0).score(np.full(36, 0.5)) == pytest.approx(2.0)
    with pytest.raises(BadWeights):
        Regressor(**{**parts, "weights": np.array([1.0, np.nan])}, gamma=0.1, offset=0.0)

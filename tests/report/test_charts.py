"""Charts: the same bytes for the same numbers, words for those who cannot see them, and no fault on odd data."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from fauxlens.report import charts
from fauxlens.report.sheet import contact_sheet

RNG = np.random.default_rng(0)
GROUPS = {"real": RNG.normal(0, 1, 200), "generated": np.r_[RNG.normal(2, 1, 100), np.nan]}
X = np.linspace(0, 1, 20)


def drawn():
    return {
        "histogram": charts.histogram("h", "Quality", GROUPS, label="JPEG quality"),
        "curves": charts.curves(
            "c", "ROC", {"all": (X, X**0.5)}, x_label="false", y_label="true", bands={"all": (X, X**0.3)}, diagonal=True
        ),
        "bars": charts.bars(
            "b", "Facts", {"format": 0.9, "size": 0.6}, label="AUC", intervals={"size": (0.5, 0.7)}, reference=0.5
        ),
        "matrix": charts.matrix("m", "Cross", ["a", "b"], ["x", "y"], np.array([[1, 0.2], [np.nan, 0.5]]), label="AUC"),
    }


@pytest.mark.parametrize("kind", ["histogram", "curves", "bars", "matrix"])
def test_vector_and_raster_are_both_there_and_repeatable(kind):
    figure, again = drawn()[kind], drawn()[kind]
    assert figure == again
    assert ET.fromstring(figure.data).tag.endswith("svg")
    with Image.open(BytesIO(figure.raster)) as picture:
        assert np.asarray(picture.convert("L")).std() > 5
    assert len(figure.alternative) > 20


def test_published_points_stand_beside_their_line():
    lines = {"ours": (X, X**0.5)}
    plain = charts.curves("c", "t", lines, x_label="x", y_label="y")
    beside = charts.curves("c", "t", lines, x_label="x", y_label="y", points={"ours": (X[:2], X[:2])})
    assert beside.alternative.endswith("ours, ours, published.")
    assert beside.data != plain.data


def test_a_signed_matrix_is_light_in_the_middle_and_says_the_sign():
    values = np.array([[-1.0, 0.0, 1.0]])
    figure = charts.matrix(
        "d", "t", ["a"], ["x", "y", "z"], values, label="difference", low=-1, high=1, format="+.1f", signed=True
    )
    with Image.open(BytesIO(figure.raster)) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    row = pixels[60]  # above the numbers
    coloured = row[(row.max(axis=1) - row.min(axis=1)) > 60]
    assert len({tuple(one) for one in coloured.tolist()}) >= 2
    assert figure.data != charts.matrix("d", "t", ["a"], ["x", "y", "z"], values, label="difference", low=-1).data


def test_what_is_not_known_is_counted():
    assert "generated: 1" in drawn()["histogram"].note
    assert "median" in drawn()["histogram"].alternative


@pytest.mark.parametrize("values", [[], [3.0], [3.0, 3.0], [np.nan]])
def test_odd_data_draws_all_the_same(values):
    figure = charts.histogram("h", "t", {"real": values, "fake": [1.0, 2.0]}, label="x")
    assert ET.fromstring(figure.data).tag.endswith("svg")
    assert charts.histogram("h", "t", {"real": values}, label="x").data


def test_contact_sheet_shows_every_picture():
    red, blue = (np.full((30, 60, 3), c, np.uint8) for c in ((255, 0, 0), (0, 0, 255)))
    figure = contact_sheet(
        "s", "Sheet", [[("a very long caption indeed, longer than the cell", red)], [("b", blue)]], side=60
    )
    with Image.open(BytesIO(figure.data)) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert {(255, 0, 0), (0, 0, 255)} <= set(map(tuple, pixels.tolist()))
    assert "a very long caption" in figure.alternative

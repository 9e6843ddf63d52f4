"""`fauxlens align`: every option that is given has its effect, beside a recipe as without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import toy
from fauxlens.cli.main import main
from fauxlens.manifest.manifest import Manifest, read_manifest
from fauxlens.manifest.scan import scan
from toy import picture

Align = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("align")
    for k in range(4):
        picture(root / "data" / "real" / f"{k}.jpg", seed=k, width=300, height=280, quality=96, subsampling=0)
        picture(root / "data" / "fake" / f"{k}.png", seed=100 + k, width=288, height=288)
    scan(root / "data").save(root / "m.parquet")
    return root / "m.parquet"


@pytest.fixture
def align(scanned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Align:
    """Runs the verb into `tmp_path / "out"`; -> exit code, what it wrote to stderr."""

    def one(*given: object) -> tuple[int, str]:
        capsys.readouterr()
        code = main([str(x) for x in ("align", scanned, "-o", tmp_path / "out", "--no-audit", "--quiet", *given)])
        return code, " ".join(capsys.readouterr().err.split())

    return one


def made(tmp_path: Path) -> Manifest:
    return read_manifest(tmp_path / "out" / "constrained.parquet")


@pytest.mark.parametrize(
    ("given", "quality", "subsampling", "side"),
    [
        (("--recipe", "strict-96"), 96, "4:4:4", 256),
        (("--recipe", "strict-96", "--recode", "strict"), 96, "4:4:4", 256),
        (("--recipe", "strict-96", "--quality", 75), 75, "4:4:4", 256),
        (("--recipe", "strict-96", "--crop", 64), 96, "4:4:4", 64),
        (("--recipe", "strict-96-history", "--subsampling", "4:2:0"), 96, "4:2:0", 256),
        (("--recode", "strict", "--quality", 80, "--crop", 128), 80, "4:4:4", 128),
    ],
)
def test_options_change_what_they_name_and_nothing_else(align, tmp_path, given, quality, subsampling, side):
    code, said = align(*given)
    assert code == 0, said
    assert made(tmp_path).count("jpeg_quality", "subsampling", "width", "height") == {
        (quality, subsampling, side, side): 8
    }
    assert ("like the reals' first" in made(tmp_path).history[-1]) == ("strict-96-history" in given)


def test_history_can_be_added_to_a_recipe(align, tmp_path):
    assert align("--recipe", "strict-96", "--history")[0] == 0
    assert "4 fakes through a JPEG like the reals' first" in made(tmp_path).history[-1]
    assert set(made(tmp_path).values("width")) == {256}


def test_each_mode_has_its_own_chroma(align, tmp_path):
    assert align("--recode", "faithful", "--quality", 90)[0] == 0
    fakes = made(tmp_path).count("label", "jpeg_quality", "subsampling")
    assert fakes == {("generated", 90, "4:2:0"): 4, ("real", 96, "4:4:4"): 4}


@pytest.mark.parametrize(
    "given",
    [
        ("--quality", 75),
        ("--recipe", "matched-files", "--crop", 64),
        ("--recipe", "strict-96", "--recode", "none", "--history"),
        ("--subsampling", "4:2:0"),
    ],
)
def test_how_to_write_is_refused_where_nothing_is_written(align, tmp_path, given):
    code, said = align(*given)
    assert code != 0
    assert "no file is written anew" in said
    assert next(str(x) for x in reversed(given) if str(x).startswith("--")) in said
    assert "--recode strict" in said
    assert not (tmp_path / "out").exists()


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """The manifest of UnbiasedGenImage's table alone."""
    (tmp_path / "data").mkdir()
    toy.unbiased_genimage_table(tmp_path / "data")
    scan(tmp_path / "data").save(tmp_path / "m.parquet")
    return tmp_path / "m.parquet"


def test_a_published_list_is_aligned_without_its_files(listed, tmp_path, capsys):
    given = ["align", str(listed), "-o", str(tmp_path / "out"), "--match", "split", "--quiet"]
    assert main([*given, "--recode", "strict"]) != 0
    assert "--recode none" in capsys.readouterr().err
    assert main([*given, "--recode", "none", "--balance-content"]) == 0
    assert made(tmp_path).count("label", "split") == {
        ("generated", "train"): 2, ("generated", "val"): 2, ("real", "train"): 2, ("real", "val"): 2,
    }  # fmt: skip


def test_a_recipe_can_be_taken_without_its_balance_of_content(listed, tmp_path):
    given = ["align", str(listed), "-o", str(tmp_path / "out"), "--quiet", "--no-audit"]
    assert main([*given, "--recipe", "wukong-450-550-96", "--recode", "none", "--sides", "30-60"]) == 0
    assert len(made(tmp_path)) == 4
    assert main([*given, "--recipe", "wukong-450-550-96", "--recode", "none", "--sides", "30-60",
                 "--no-balance-content"]) == 0  # fmt: skip
    assert len(made(tmp_path)) == 12
    assert made(tmp_path).count("split", "label") == {
        (split, label): 3 for split in ("train", "val") for label in ("real", "generated")
    }

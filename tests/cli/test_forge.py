"""`fauxlens forge`: the set, the estimate, refusals, and kills on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.conftest import Run
from cli.schema import parsed
from fauxlens.core.files import sha256_of
from fauxlens.manifest.manifest import read_manifest
from landscapes import photo_folder

RECIPE = """
name = "toy"
[perceive]
provider = "random"
mask_types = ["region"]
[quota]
reserve = 0.0
[[methods]]
name = "telea"
[[methods]]
name = "navier-stokes"
[[judges]]
name = "integrity"
[delivery]
chain = "one_of(none / jpeg:quality=80-95)"
per = "forgery"
"""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return photo_folder(tmp_path / "photos", 6)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "toy.toml"
    path.write_text(RECIPE)
    return path


def test_a_folder_of_photos_becomes_a_forged_set(run: Run, photos: Path, recipe: Path, tmp_path: Path) -> None:
    said = run("forge", photos, "--recipe", recipe, "-o", tmp_path / "set", "--no-audit", "--json")
    assert said.code == 0, said.err
    found = parsed(said.out, "forge")
    assert found["forgeries"] == 12
    assert found["made"] == [["region", "navier-stokes", 6], ["region", "telea", 6]]
    assert found["audit"] is None
    assert read_manifest(tmp_path / "set/manifest.parquet").count("label") == {("edited",): 12, ("real",): 12}
    assert (tmp_path / "set/README.md").read_text().startswith("---\nlicense:")
    status = parsed(run("status", tmp_path / "set", "--json").out, "status")
    assert [one["stage"] for one in status["stages"]] == ["perceive", "caption-01", "create-01"]
    assert (status["done"], status["total"]) == (12, 12)
    assert "create-01: 12 of 12 done (100%)" in run("status", tmp_path / "set").out


def test_people_are_told_the_cost_the_result_and_where_it_is(
    run: Run, photos: Path, recipe: Path, tmp_path: Path
) -> None:
    said = run("forge", photos, "--recipe", recipe, "-o", tmp_path / "set", "--method", "telea", "--photos", "4")
    assert said.code == 0, said.err
    assert "if nothing is rejected" in said.out
    assert "4 forgeries of 6 photos, complete" in said.out
    assert "audit: " in said.out
    assert (tmp_path / "set/report/forge.html").is_file()


def test_an_estimate_starts_nothing(run: Run, photos: Path, recipe: Path, tmp_path: Path) -> None:
    said = run("forge", photos, "--recipe", recipe, "-o", tmp_path / "set", "--estimate", "--json")
    found = parsed(said.out, "forge --estimate")
    assert {one["name"]: one["units"] for one in found["parts"]} == {
        "random": 6, "template": 6, "telea": 6, "navier-stokes": 6, "judges": 12, "delivery": 24,
    }  # fmt: skip
    assert found["files"] == 24
    assert not (tmp_path / "set").exists()


def test_the_real_models_are_planned_with_figures_that_are_said_not_to_be_ours(run: Run, tmp_path: Path) -> None:
    photos = photo_folder(tmp_path / "large", 1, height=256, width=256)
    said = run("forge", photos, "--recipe", "br-gen", "-o", tmp_path / "set", "--estimate", "--json")
    assert said.code == 0, said.err
    found = parsed(said.out, "forge --estimate")
    how = {one["name"]: one["how"] for one in found["parts"]}
    assert all("not measured" in how[name] for name in ("grounded", "qwen", "lama", "mat", "sdxl", "brushnet"))


def test_wrong_use(run: Run, photos: Path, recipe: Path, tmp_path: Path) -> None:
    said = run("forge", photos, "--recipe", "embeded", "-o", tmp_path / "set")
    assert (said.code, "Did you mean 'embedded'" in said.err) == (2, True)
    said = run("forge", photos, "--recipe", recipe, "--method", "tela", "-o", tmp_path / "set")
    assert (said.code, "Did you mean 'telea'" in said.err) == (2, True)
    said = run("forge", tmp_path / "nothing.parquet", "-o", tmp_path / "set")
    assert (said.code, "no such manifest" in said.err) == (2, True)
    first = run("forge", photos, "--recipe", recipe, "-o", tmp_path / "set", "--no-audit", "-q")
    assert first.code == 0
    other = run("forge", photos, "--recipe", recipe, "-o", tmp_path / "set", "--seed", "5", "--no-audit", "-q")
    assert other.code == 2
    assert "another plan" in other.err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills a group of processes")
def test_killed_three_times_it_ends_in_the_same_bytes(run: Run, recipe: Path, tmp_path: Path) -> None:
    photos = photo_folder(tmp_path / "many", 16, height=160, width=200)
    straight = run("forge", photos, "--recipe", recipe, "-o", tmp_path / "straight", "--no-audit", "-q")
    assert straight.code == 0, straight.err
    command = [sys.executable, "-m", "fauxlens", "forge", str(photos), "--recipe", str(recipe), "-j", "1"]
    command += ["-o", str(tmp_path / "killed"), "--no-audit", "-q"]
    kills = 0
    for target in (4, 20, 38):
        process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
        while _settled(tmp_path / "killed") < target and process.poll() is None:
            time.sleep(0.002)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills == 3
    assert _settled(tmp_path / "killed") < 16 + 16 + 32
    assert subprocess.run(command, check=False).returncode == 0
    assert _files(tmp_path / "killed") == _files(tmp_path / "straight")


def _settled(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("work/*/shards/*.jsonl"))


def _files(folder: Path) -> dict[str, str]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = [path.relative_to(folder).as_posix() for path in paths]
    told = zip(names, paths, strict=True)
    # The page says when and how it was made; everything else is the same.
    return {name: sha256_of(path) for name, path in told if not name.startswith(("work/", "report/"))}

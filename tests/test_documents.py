"""What the documents promise is run: every block of the README, the demo, the reference, the rules of the house."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import broken
from fauxlens.cli.main import main
from fauxlens.detectors import load
from labelled import knowing_weights, labelled_photos
from landscapes import photo_folder

HOUSE = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for label, name in (("real", ""), ("fake", "dalle/")):
        folder = tmp_path / "photos" / label / name
        folder.mkdir(parents=True)
        for n in range(12):
            (folder / f"{n}.jpg").write_bytes(broken.jpeg(n + 100 * (label == "fake"), quality=80 + n))
    photo_folder(tmp_path / "holiday", 12, height=120, width=160)
    # A file as its owner would publish it, with random weights; and a store that is not the user's.
    (tmp_path / "downloads").mkdir()
    torch.save({"network": load("noiseprint++", "random").network.state_dict()}, "downloads/noiseprint++.th")
    monkeypatch.setenv("FAUXLENS_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path


def blocks(document: str) -> list[tuple[str, str]]:
    return _BLOCK.findall((HOUSE / document).read_text(encoding="utf-8"))


def test_every_block_of_the_readme_runs(photos, capsys):
    ran = 0
    for language, text in blocks("README.md"):
        if language == "python":
            exec(compile(text, "README.md", "exec"), {})
            ran += 1
            continue
        assert language == "sh"
        for line in text.strip().splitlines():
            words = shlex.split(line, comments=True)
            if words[0] == "make":
                assert f"\n{words[1]}:" in (HOUSE / "Makefile").read_text(), f"no such target: {line}"
            else:
                assert words[0] == "fauxlens", line
                assert main(words[1:]) == 0, line
            ran += 1
    assert ran >= 9
    out = capsys.readouterr().out
    assert "(40, 56, 3) 80" in out
    assert "real/0.jpg real jpeg 80" in out


@pytest.mark.parametrize("document", sorted(p.name for p in (HOUSE / "docs").glob("*.md")))
def test_every_block_of_the_documents_runs(document, photos):
    if document == "calibrate.md":
        labelled_photos(photos / "labelled", 24)
        knowing_weights(photos / "downloads" / "npr.pth")
    for language, text in blocks(f"docs/{document}"):
        if language == "python":
            exec(compile(text, document, "exec"), {})
        elif language == "sh":
            for line in text.strip().splitlines():
                program, *words = shlex.split(line, comments=True)
                assert program == "fauxlens", line
                assert main(words) == 0, line
        else:
            assert language in ("text", "toml", "json"), "a block that nobody runs says what it is"


def test_every_file_that_the_makefile_names_exists():
    named = re.findall(r"[\w/.-]+\.(?:py|toml|txt)", (HOUSE / "Makefile").read_text())
    assert named
    assert not [name for name in named if not (HOUSE / name).exists()]


def test_the_demo_makes_its_page(tmp_path):
    demo = [sys.executable, str(HOUSE / "examples" / "demo.py"), "--output", str(tmp_path / "demo")]
    for _ in range(2):  # a second time over its own output
        subprocess.run(demo, check=True, capture_output=True, text=True)
    page = (tmp_path / "demo" / "demo.html").read_text(encoding="utf-8")
    assert "7 of 11 files are usable; 4 are quarantined" in page
    assert page.count("<img ") == 4  # deliveries, a contact sheet for either mask type, and what is marked
    assert "Of 14 forgeries" in page
    assert (tmp_path / "demo" / "inspected" / "index.html").is_file()
    for reason in ("truncated", "empty", "html", "wrong-suffix"):
        assert reason in page


def test_the_reference_is_current_and_no_link_is_dead():
    found = subprocess.run(
        [sys.executable, str(HOUSE / "docs" / "build.py"), "--check"], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout


def test_contributing_keeps_to_six_steps():
    text = (HOUSE / "CONTRIBUTING.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## To add (.+?)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    named = {title for title, _ in sections}
    assert {"a detector", "a dataset layout", "a creation method", "a metric", "a protocol"} <= named
    for title, body in sections:
        assert 1 <= len(re.findall(r"^\d+\. ", body, re.MULTILINE)) <= 6, title


def test_no_path_of_a_developer_and_no_registry_is_named():
    listed = subprocess.run(["git", "ls-files"], cwd=HOUSE, capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    # Spelt in pieces, so that this file does not name them either.
    registries = ("index" + "-url", "python" + "hosted", "py" + r"pi\.org")
    forbidden = re.compile("|".join((r"/(?:home|Users|work|root)/[a-z]", *registries)))
    for name in listed.stdout.splitlines():
        path = HOUSE / name
        if path == Path(__file__).resolve() or not path.is_file() or path.suffix in (".png", ".npz", ".safetensors"):
            continue
        found = forbidden.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{name}: {found and found.group()}"


def test_modules_are_not_run_by_being_imported():
    """Importing every module makes no file, needs no network and prints nothing."""
    code = (
        "import importlib, pkgutil, fauxlens\n"
        "for m in pkgutil.walk_packages(fauxlens.__path__, 'fauxlens.'):\n"
        "    if not m.name.endswith('__main__'): importlib.import_module(m.name)\n"
    )
    environment = {**os.environ, "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env=environment, cwd=HOUSE / "docs"
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")

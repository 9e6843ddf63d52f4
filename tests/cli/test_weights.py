"""`fauxlens weights`: list, show, get, import, verify."""

from __future__ import annotations

import argparse
import io
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from cli.conftest import Run
from cli.schema import parsed
from fauxlens.detectors import DETECTORS, detector_class, hub, load
from fauxlens.detectors import store as stores
from fauxlens.detectors.segformer import segformer_names
from fauxlens.nn.mix_transformer import MixTransformer, mix_b0, mix_b2


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAUXLENS_WEIGHTS", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def noiseprint(tmp_path: Path) -> Path:
    """A file as TruFor publishes it."""
    held = {"network": load("noiseprint++", "random", seed=4).network.state_dict(), "global_step": 12,
            "args": argparse.Namespace(lr=1e-4)}  # fmt: skip
    torch.save(held, tmp_path / "noiseprint++.th")
    return tmp_path / "noiseprint++.th"


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A folder that stands in for the hub, with both encoders from which NFA-ViT starts."""
    for settings, repository in ((mix_b0(), "mit-b0"), (mix_b2(), "mit-b2")):
        place = tmp_path / "mirror" / "nvidia" / repository
        place.mkdir(parents=True)
        torch.save(MixTransformer(settings).state_dict(), place / "pytorch_model.bin")
    return tmp_path / "mirror"


def test_every_set_is_listed(run: Run, noiseprint: Path, store: Path) -> None:
    before = parsed(run("weights", "list", "--json").out, "weights list")
    by_name = [(name, one.name) for name in sorted(DETECTORS) for one in detector_class(name).card.weights]
    first = [pair for pair in by_name if pair[0] == "community-forensics"]
    assert [(one["detector"], one["set"]) for one in before] == first + [one for one in by_name if one not in first]
    row = next(one for one in before if one["detector"] == "noiseprint++")
    assert (row["state"], row["bytes"], row["missing"]) == ("not here", 2_267_965, ["noiseprint++.th"])
    assert run("weights", "import", "noiseprint++", noiseprint).code == 0
    after = parsed(run("weights", "list", "--json").out, "weights list")
    row = next(one for one in after if one["detector"] == "noiseprint++")
    size = (store / "noiseprint++" / "trufor" / "network.safetensors").stat().st_size
    assert (row["state"], row["bytes"], row["missing"]) == ("here", size, [])
    plain = run("weights", "list")
    assert plain.code == 0
    head, *rows = plain.out.splitlines()
    assert head.split() == ["detector", "set", "state", "bytes", "use", "licence"]
    assert len(rows) == len(after)
    assert ["noiseprint++", "trufor", "here", f"{size:,}"] in [row.split()[:4] for row in rows]
    assert str(store) in plain.err


def test_what_to_fetch_first_is_said_first(run: Run) -> None:
    listed = parsed(run("weights", "list", "--json").out, "weights list")
    recommended = {(one["detector"], one["set"]): one for one in listed if one["recommended"]}
    assert list(recommended) == [("community-forensics", "384")]
    (one,) = recommended.values()
    assert listed[0] is one
    # It can be had by one command, and anybody may use it.
    assert one["use"] == "open"
    assert all(file.hub for file in detector_class(one["detector"]).card.weights[0].files)
    assert "not measured by us" in one["recommended"]
    plain = run("weights", "list")
    assert plain.out.splitlines()[1].split()[:2] == ["community-forensics", "384"]
    assert f"the first to fetch: community-forensics/384; {one['recommended']}" in " ".join(plain.err.split())
    assert "fetch first open terms" in run("weights", "show", "community-forensics/384").out
    assert "fetch first" not in run("weights", "show", "community-forensics/224").out


def test_a_card_in_words(run: Run) -> None:
    said = run("weights", "show", "nfa-vit")
    assert (said.code, said.err) == (0, "")
    for wanted in (
        "nfa-vit: NFA-ViT (2025); detect, localise",
        "weights nfa-vit/br-gen: not here",
        "weights nfa-vit/start: not here",
        "none stated (ask)",
        "noiseprint++.th, from https://github.com/grip-unina/TruFor",
        "nvidia/mit-b2: pytorch_model.bin",
        "SHA-256     not published",
        "AUC 0.979 on BR-Gen, trained on it: BR-Gen, Table 3",
        "The released noise branch was never trained",
    ):
        assert wanted in said.out
    one = run("weights", "show", "nfa-vit/start").out
    assert "weights nfa-vit/start" in one
    assert "nfa-vit/br-gen" not in one
    found = parsed(run("weights", "show", "nfa-vit/start", "--json").out, "weights show")
    assert [part["part"] for part in found["weights"][0]["files"]] == [
        "noise_extractor.layers.", "noise_backbone.", "image_backbone."
    ]  # fmt: skip
    assert len(parsed(run("weights", "show", "nfa-vit", "--json").out, "weights show")["weights"]) == 2


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_every_card_can_be_shown(name: str, run: Run) -> None:
    said = run("weights", "show", name)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"{name}: ")
    assert parsed(run("weights", "show", name, "--json").out, "weights show")["name"] == name


def test_import_says_what_was_done(run: Run, noiseprint: Path, store: Path) -> None:
    said = run("weights", "import", "noiseprint++", noiseprint)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "noiseprint++.th: the whole network of noiseprint++/trufor, 94 tensors, 559,169 numbers, as it was, "
        "no digest is published",
        f"kept in {store / 'noiseprint++' / 'trufor'}",
    ]
    found = parsed(run("weights", "import", "noiseprint++/trufor", noiseprint, "--json").out, "weights import")
    assert found["missing"] == []
    assert found["sha256"] == load("noiseprint++").weights.sha256
    part = run("weights", "import", "nfa-vit/start", noiseprint)
    assert part.code == 0
    assert "the part 'noise_extractor.layers' of nfa-vit/start" in part.out
    assert (
        "still missing: download segformer_b0_backbone_weights.pth segformer_b2_backbone_weights.pth from" in part.out
    )
    assert "then `fauxlens weights import nfa-vit/start segformer_b0" in part.out


def test_what_cannot_be_imported_is_told_in_two_lines(run: Run, noiseprint: Path, tmp_path: Path, store: Path) -> None:
    class Bad:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "made"),)

    torch.save({"network": {"a": torch.ones(1)}, "x": Bad()}, tmp_path / "bad.pth")
    (tmp_path / "page.pth").write_text("<!doctype html>")
    for path, message, step in (
        (tmp_path / "bad.pth", "would run code, which is never done", "ask its owner"),
        (tmp_path / "page.pth", "not a file of weights", "this is a web page"),
        (tmp_path / "nowhere.pth", "the file of weights cannot be read", ""),
        (noiseprint, "does not fit nfa-vit", "these tensors fit nfa-vit/start or noiseprint++"),
    ):
        said = run("weights", "import", "nfa-vit/br-gen", path)
        assert (said.code, said.out) == (1, "")
        lines = said.err.splitlines()
        assert lines[0].startswith(f"error: {path}: ")
        assert message in lines[0]
        assert step in (lines[1] if len(lines) > 1 else "")
    assert not (tmp_path / "made").exists()
    assert not store.exists()


def test_get_asks_before_it_fetches(
    run: Run, mirror: Path, noiseprint: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(hub, "from_hub", lambda file: asked.append(file))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))  # nobody is there, whatever is piped in
    said = run("weights", "get", "nfa-vit/start")
    assert (said.code, said.out) == (2, "")
    assert "where training starts, not a detector" in said.err
    assert "error: the terms were not accepted\n  next: read them at the owner's, then give --accept\n" in said.err
    assert asked == []
    assert not store.exists()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("n\n", 2), ("\n", 2), ("y\n", 0)])
def test_get_takes_an_answer_from_a_terminal(
    answer: str, code: int, run: Run, mirror: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "from_hub", hub.from_folder(mirror))
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    said = run("weights", "get", "nfa-vit/start")
    assert said.code == code
    assert "Do you accept these terms?" in said.err
    assert store.exists() == (code == 0)


def test_get_fetches_what_is_on_the_hub_and_tells_of_the_rest(
    run: Run, mirror: Path, noiseprint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "from_hub", hub.from_folder(mirror))
    said = run("weights", "get", "nfa-vit/start", "--accept")
    assert said.code == 0
    assert "the part 'noise_backbone' of nfa-vit/start" in said.out
    assert "names or values converted" in said.out
    assert said.out.splitlines()[-1] == (
        "still missing: download noiseprint++.th from https://github.com/grip-unina/TruFor, then "
        "`fauxlens weights import nfa-vit/start noiseprint++.th`"
    )
    found = parsed(run("weights", "import", "nfa-vit/start", noiseprint, "--json").out, "weights import")
    assert found["missing"] == []


def test_get_from_a_folder(run: Run, mirror: Path, noiseprint: Path) -> None:
    given = ("weights", "get", "nfa-vit/start", "--accept", "--from", mirror)
    said = run(*given)
    assert (said.code, said.out) == (1, "")
    assert f"error: {mirror}: noiseprint++.th is not in this folder\n  next: put it there\n" in said.err
    noiseprint.rename(mirror / noiseprint.name)
    found = parsed(run(*given, "--json").out, "weights get")
    assert (found["missing"], len(found["files"])) == ([], 3)
    image = load("nfa-vit", "start").network.get_submodule("image_backbone").state_dict()
    wanted = segformer_names(torch.load(mirror / "nvidia" / "mit-b2" / "pytorch_model.bin", weights_only=True))
    assert all(torch.equal(image[name], wanted[name]) for name in wanted)


def test_a_hub_that_cannot_be_reached_is_told(run: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*given: object, **named: object) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    said = run("weights", "get", "nfa-vit/start", "--accept")
    assert (said.code, said.out) == (1, "")
    told = said.err.splitlines()
    assert (
        told[-2]
        == "error: https://huggingface.co/nvidia/mit-b0: pytorch_model.bin could not be fetched: no route to host"
    )
    assert told[-1].startswith("  next: ")
    assert not store.exists()


def test_verify(run: Run, noiseprint: Path, store: Path) -> None:
    run("weights", "import", "noiseprint++", noiseprint)
    run("weights", "import", "nfa-vit/start", noiseprint)
    good = run("weights", "verify", "-q")
    assert (good.code, good.err) == (0, "")
    assert "noiseprint++/trufor: whole" in good.out.splitlines()
    assert any(line.startswith("nfa-vit/start: not imported yet: ") for line in good.out.splitlines())
    damaged = store / "noiseprint++" / "trufor" / "network.safetensors"
    body = damaged.read_bytes()
    damaged.write_bytes(body[:-3])
    (store / "nfa-vit" / "start" / "card.json").write_text("{")
    bad = run("weights", "verify", "--json")
    assert (bad.code, bad.err) == (1, "")
    found = parsed(bad.out, "weights verify")
    assert (found["damaged"], found["store"]) == (2, str(store))
    faults = {one["set"]: one["faults"] for one in found["sets"]}
    assert faults["trufor"] == ["network.safetensors (the network) has changed since it was imported"]
    assert faults["start"][0].startswith("the card of these weights cannot be read")
    plain = run("weights", "verify", "-q")
    assert plain.code == 1
    assert plain.out.endswith("2 damaged\na damaged set is made whole by importing its files again\n")
    run("weights", "import", "noiseprint++", noiseprint)
    assert damaged.read_bytes() == body


def test_an_empty_store_is_whole(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stores, "embedded_folder", lambda: tmp_path / "none")
    assert run("weights", "verify") == (0, "0 sets, 0 damaged\n", "")

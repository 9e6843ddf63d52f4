"""`fauxlens protocols`: the list, and one of them."""

from __future__ import annotations

from pathlib import Path

from cli.conftest import Run
from cli.schema import parsed
from fauxlens.evaluate.protocol import FOLDER, protocol_names, read_protocol


def test_every_protocol_is_listed_with_what_it_needs(run: Run) -> None:
    said = run("protocols", "--json")
    assert (said.code, said.err) == (0, "")
    found = {one["name"]: one for one in parsed(said.out, "protocols")}
    assert list(found) == list(protocol_names())
    for name, one in found.items():
        protocol = read_protocol(name)
        assert (one["layout"], one["data"], one["trains"]) == (protocol.layout, protocol.data, protocol.trains)
        assert (one["parts"], one["published"]) == (len(protocol.parts), len(protocol.published))
    head, *rows = run("protocols").out.splitlines()
    assert " ".join(head.split()) == "protocol title view layout trains published data"
    assert [row.split()[0] for row in rows] == list(found)
    row = next(row for row in rows if row.startswith("  br-gen-table-3 "))
    assert " ".join(row.split()).startswith(
        "br-gen-table-3 BR-Gen, Table 3: in-domain, trained on BR-Gen table brgen yes 92"
    )


def test_one_protocol_is_told_whole(run: Run) -> None:
    for name in protocol_names():
        said = run("protocols", name, "--json")
        assert (said.code, said.err) == (0, "")
        found = parsed(said.out, "protocols NAME")
        protocol = read_protocol(name)
        assert [one["value"] for one in found["published"]] == [one.value for one in protocol.published]
        assert [one["name"] for one in found["parts"]] == [one.name for one in protocol.parts]
    text = run("protocols", "imaginet-groups-clean").out
    assert "clean: a logistic fit on what the notes call a calibration image; these are not scored" in text
    assert "  ImagiNet v1  0.9372  0.9608      0.9652    0.9724  0.9589\n" in text
    degraded = run("protocols", "genimage-degraded").out
    assert "  112 pixels  degraded by genimage-degraded/1:lr-112\n" in degraded
    assert "metrics        accuracy (per cent)\n" in degraded
    assert "mask 20% to below 40% of the frame" in run("protocols", "br-gen-table-7-bins").out


def test_a_file_of_ones_own_is_told_and_a_wrong_name_corrected(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('extends = "' + (FOLDER / "temporal.toml").as_posix() + '"\nname = "mine"\nthreshold = 0.25\n')
    assert "mine, version 1: Generators by year of release" in run("protocols", path).out
    assert "  threshold      0.25\n" in run("protocols", path).out
    said = run("protocols", "imaginet-group")
    assert (said.code, said.out) == (2, "")
    assert "Did you mean 'imaginet-groups'?" in said.err
    path.write_text('name = "mine"\n')
    assert "setting 'version' is missing" in run("protocols", path).err

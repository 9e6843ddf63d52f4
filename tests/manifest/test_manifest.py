"""The manifest as a table: round trips, filters with history, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fauxlens.core.errors import BadManifest
from fauxlens.manifest.manifest import Manifest, concatenate, read_manifest, stored_root
from fauxlens.manifest.sample import Sample, sample_id
from fauxlens.manifest.schema import COLUMNS, LISTED, NAMES, SCHEMA_VERSION

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
MAYBE = st.none() | TEXT
SAMPLES = st.builds(
    Sample,
    id=st.uuids().map(str),
    path=TEXT,
    label=st.sampled_from(["real", "generated", "edited"]),
    mask_path=MAYBE,
    generator=MAYBE,
    family=MAYBE,
    content=MAYBE,
    split=MAYBE,
    origin=MAYBE,
    width=st.none() | st.integers(0, 2**31 - 1),
    height=st.none() | st.integers(0, 2**31 - 1),
    jpeg_quality=st.none() | st.integers(1, 100),
    jpeg_quality_exact=st.none() | st.booleans(),
    jpeg_quality_distance=st.none() | st.floats(0, 1000, width=32),
    bytes=st.none() | st.integers(0, 2**62),
    phash=st.none() | st.integers(0, 2**64 - 1),
    status=st.sampled_from(["ok", "empty: zero bytes"]),
    notes=MAYBE,
)


def sample(number: int, **facts: object) -> Sample:
    path = f"real/{number}.jpg"
    return Sample(**{"id": sample_id("", path), "path": path, "label": "real", **facts})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(samples=st.lists(SAMPLES, max_size=8, unique_by=lambda s: s.id), name=TEXT, history=st.lists(TEXT, max_size=3))
def test_parquet_round_trip(tmp_path: Path, samples: list[Sample], name: str, history: list[str]):
    made = Manifest.from_samples(
        samples, tmp_path, name=name, history=history, facts={"layout": "folder", "n": [1, None]}
    )
    again = read_manifest(made.save(tmp_path / "m.parquet"))
    assert list(again) == samples
    assert again.equals(made)
    assert again.root.resolve() == tmp_path.resolve()


def test_sample_and_schema_agree():
    assert tuple(field.name for field in fields(Sample)) == NAMES
    assert len(set(NAMES)) == len(COLUMNS)


def test_bytes_on_disk_do_not_depend_on_how_rows_were_gathered(tmp_path):
    samples = [sample(n, width=n, format="jpeg" if n % 2 else "png") for n in range(50)]
    whole = Manifest.from_samples(samples, tmp_path, name="m")
    pieces = [Manifest.from_samples(samples[k : k + 10], tmp_path, name="m").table for k in range(0, 50, 10)]
    gathered = Manifest(pa.concat_tables(pieces), tmp_path, "m")
    first, second = whole.save(tmp_path / "a.parquet"), gathered.save(tmp_path / "b.parquet")
    assert first.read_bytes() == second.read_bytes()


def test_every_choice_is_remembered():
    made = Manifest.from_samples([sample(n, width=100 * n) for n in range(10)], Path())
    wide = made.where("at least 500 wide", pc.field("width") >= 500)
    some = wide.take("two of them", [3, 0])
    assert [s.width for s in some] == [800, 500]
    assert some.history == ("at least 500 wide: kept 5 of 10", "two of them: took 2 of 5")
    assert made.history == ()
    assert len(made.where("mask", np.arange(10) % 2 == 0)) == 5


def test_null_is_no():
    made = Manifest.from_samples([sample(1, width=None), sample(2, width=7)], Path())
    assert [s.width for s in made.where("wide", pc.field("width") > 1)] == [7]


def test_usable_leaves_out_what_is_quarantined_and_says_so():
    rows = [sample(1), sample(2, status="empty: zero bytes"), sample(3, status=LISTED), sample(4, status=None)]
    made = Manifest.from_samples(rows, Path())
    assert [s.path for s in made.usable()] == ["real/1.jpg", "real/4.jpg"]
    assert [s.path for s in made.usable(listed=True)] == ["real/1.jpg", "real/3.jpg", "real/4.jpg"]
    assert made.usable().history == ("not quarantined: kept 2 of 4",)
    assert made.quarantined() == [("empty", 1, "real/2.jpg")]
    clean = Manifest.from_samples([sample(1)], Path())
    assert clean.usable() is clean


def test_counts_and_columns():
    rows = [sample(1, split="train"), sample(2, split=None), sample(3, split="train", label="edited")]
    made = Manifest.from_samples(rows, Path())
    assert made.count("split", "label") == {("train", "edited"): 1, ("train", "real"): 1, (None, "real"): 1}
    assert made.count() == {(): 3}
    assert made.values("label").tolist() == ["real", "real", "edited"]
    with pytest.raises(BadManifest, match=r"no column called 'lable'.*Did you mean 'label'"):
        made.column("lable")


def test_more_columns_than_ours_are_kept(tmp_path):
    made = Manifest.from_samples([sample(1), sample(2)], tmp_path).with_columns("scored", {"score": [0.5, 1.5]})
    again = read_manifest(made.save(tmp_path / "m.parquet"))
    assert again.column("score").to_pylist() == [0.5, 1.5]
    assert list(again) == [sample(1), sample(2)]


def test_columns_of_another_length_or_type_are_refused():
    made = Manifest.from_samples([sample(1)], Path())
    with pytest.raises(BadManifest, match="another length"):
        made.with_columns("x", {"width": [1, 2]})
    with pytest.raises(BadManifest, match="column 'width' holds values of another type"):
        made.with_columns("x", {"width": ["wide"]})
    with pytest.raises(BadManifest, match="different lengths"):
        Manifest.from_columns({"id": ["a"], "path": []}, Path())
    with pytest.raises(BadManifest, match="one bool a row"):
        made.where("x", np.array([1, 0]))


def test_labels_are_ours_only():
    with pytest.raises(BadManifest, match=r"wanted real, generated, edited, got fake"):
        Manifest.from_samples([sample(1, label="fake")], Path())


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b""), "not a Parquet file"),
        (lambda path: path.write_bytes(b"PAR1 but not really PAR1"), "not a Parquet file"),
        (lambda path: pq.write_table(pa.table({"id": ["a"]}), path), "not one of our manifests"),
        (lambda path: path.mkdir(), "a manifest is one file"),
        (lambda path: None, "no such manifest"),
    ],
)
def test_other_files_are_refused_in_words(tmp_path, write, message):
    path = tmp_path / "m.parquet"
    write(path)
    with pytest.raises(BadManifest, match=message):
        read_manifest(path)


def test_a_newer_schema_is_refused(tmp_path):
    path = Manifest.from_samples([sample(1)], tmp_path).save(tmp_path / "m.parquet")
    table = pq.read_table(path)
    told = json.loads(table.schema.metadata[b"fauxlens"]) | {"schema_version": SCHEMA_VERSION + 1}
    pq.write_table(table.replace_schema_metadata({b"fauxlens": json.dumps(told)}), path)
    with pytest.raises(BadManifest, match="written by a newer fauxlens"):
        read_manifest(path)


def test_an_older_file_without_a_column_still_reads(tmp_path):
    path = Manifest.from_samples([sample(1, colour="rgb")], tmp_path).save(tmp_path / "m.parquet")
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["colour", "metadata"]), path)
    assert [s.colour for s in read_manifest(path)] == [None]


def test_a_dataset_can_be_moved_with_its_manifest(tmp_path):
    old = tmp_path / "old"
    (old / "real").mkdir(parents=True)
    Manifest.from_samples([sample(1)], old).save(old / "m.parquet")
    new = old.rename(tmp_path / "new")
    assert read_manifest(new / "m.parquet").root.resolve() == new.resolve()
    assert read_manifest(new / "m.parquet", root="elsewhere").root == Path("elsewhere")
    # Apart from each other, the absolute path is what is known.
    assert Path(stored_root(tmp_path / "a", tmp_path / "b" / "m.parquet")).is_absolute()


def test_csv_and_jsonl(tmp_path):
    made = Manifest.from_samples([sample(1, notes='a "b", c'), sample(2)], tmp_path)
    lines = made.save(tmp_path / "m.csv").read_text().splitlines()
    assert lines[0] == ",".join(NAMES)
    assert '"a ""b"", c"' in lines[1]
    rows = [json.loads(line) for line in made.save(tmp_path / "m.jsonl").read_text().splitlines()]
    assert [row["path"] for row in rows] == ["real/1.jpg", "real/2.jpg"]
    with pytest.raises(BadManifest, match=r"saved as \.parquet, \.csv or \.jsonl"):
        made.save(tmp_path / "m.xlsx")


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = Manifest.from_samples([sample(1)], tmp_path).save(tmp_path / "m.parquet")
    before = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("fauxlens.manifest.manifest.pq.write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        Manifest.from_samples([sample(2)], tmp_path).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.parquet"]


def test_concatenate():
    first = Manifest.from_samples([sample(1)], Path(), name="a", history=["scanned"])
    second = Manifest.from_samples([sample(2, format="png")], Path(), name="b")
    both = concatenate("both", [first, second])
    assert [s.path for s in both] == ["real/1.jpg", "real/2.jpg"]
    assert both.history == ("a: scanned", "concatenated 2 manifests")
    with pytest.raises(BadManifest, match="the same id"):
        concatenate("twice", [first, first])
    with pytest.raises(BadManifest, match="different roots"):
        concatenate("x", [first, Manifest.from_samples([sample(2)], Path("/elsewhere"))])


def test_indexing():
    made = Manifest.from_samples([sample(n) for n in range(3)], Path("root"))
    assert made[1] == sample(1)
    assert made[-1] == sample(2)
    assert made.path_of(made[0]) == Path("root/real/0.jpg")
    with pytest.raises(IndexError):
        made[3]

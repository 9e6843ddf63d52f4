"""A plan is written once, found again, and never quietly another one."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fauxlens.core.errors import WorkError
from fauxlens.work import Item, Plan, read_plan, write_plan
from fauxlens.work.plan import LARGEST_SHARD, default_shard_size

ITEMS = [Item(f"k{number}", {"number": number}) for number in range(10)]


def planned(folder: Path, **changes: Any) -> Plan:
    given = {"task": "m:build", "task_version": "1", "settings": {"a": 1, "b": [2]}, "items": ITEMS}
    return write_plan(folder, **{**given, **changes})


def test_the_same_plan_is_found_again(tmp_path: Path) -> None:
    first = planned(tmp_path, shard_size=4)
    written = (tmp_path / "plan.json").stat().st_mtime_ns, (tmp_path / "items.jsonl").stat().st_mtime_ns
    again = planned(tmp_path, shard_size=4, settings={"b": (2,), "a": 1})
    assert again == first == read_plan(tmp_path)
    assert again.fingerprint == first.fingerprint
    assert written == ((tmp_path / "plan.json").stat().st_mtime_ns, (tmp_path / "items.jsonl").stat().st_mtime_ns)
    assert not list(tmp_path.glob(".*"))


def test_a_shard_is_read_alone(tmp_path: Path) -> None:
    plan = planned(tmp_path, shard_size=4)
    assert plan.shard_count == 3
    assert [plan.rows(shard) for shard in range(3)] == [4, 4, 2]
    assert [item for shard in range(3) for item in plan.items(shard)] == ITEMS
    assert plan.items(2) == ITEMS[8:]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "m:other"}, "task was 'm:build' and is 'm:other'"),
        ({"task_version": "2"}, "task_version was '1' and is '2'"),
        ({"settings": {"a": 2, "b": [2]}}, "settings.a was 1 and is 2"),
        ({"settings": {"a": 1}}, "settings.b was [2] and is not set"),
        ({"items": ITEMS[:-1]}, "there were 10 and are 9"),
        ({"items": ITEMS[::-1]}, "others or in another order"),
        ({"items": [*ITEMS[:-1], Item("k9", {"number": -9})]}, "others or in another order"),
        ({"shard_size": 5}, "shard_size was 4 and is 5"),
    ],
)
def test_another_plan_is_refused_and_says_what_changed(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    first = planned(tmp_path, shard_size=4)
    with pytest.raises(WorkError) as refused:
        planned(tmp_path, **{"shard_size": 4, **changes})
    assert said in str(refused.value)
    assert "a changed parameter needs a new folder" in str(refused.value)
    assert read_plan(tmp_path) == first
    assert [item for shard in range(3) for item in first.items(shard)] == ITEMS


def test_keys_are_unique(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"two items have the key 'k3' \(got items 3 and 10, counted from 0\)"):
        planned(tmp_path, items=[*ITEMS, Item("k3", {})])
    with pytest.raises(WorkError, match="no plan in this folder"):
        read_plan(tmp_path)
    assert not (tmp_path / "items.jsonl").exists()


def test_a_kill_while_planning_leaves_no_plan(tmp_path: Path) -> None:
    def broken() -> Iterator[Item]:
        yield from ITEMS
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        planned(tmp_path, items=broken())
    # A hard kill between the two files leaves the items alone, and they are not believed.
    (tmp_path / "items.jsonl").write_text("half of")
    with pytest.raises(WorkError, match="no plan in this folder"):
        read_plan(tmp_path)
    assert planned(tmp_path).items(0)[0] == ITEMS[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "no colon"}, '"module:attribute"'),
        ({"shard_size": 0}, "at least one item"),
        ({"settings": {"a": float("nan")}}, "settings that are not JSON"),
        ({"settings": {"a": Path("x")}}, "settings that are not JSON"),
        ({"items": [Item("a", {"x": {1, 2}})]}, "an item that is not JSON"),
        ({"items": [Item("a\ud800", {})]}, "an item that is not JSON"),
        ({"items": [Item(3, {})]}, "an item that is not JSON"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_written_down_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(WorkError) as refused:
        planned(tmp_path, **changes)
    assert said in str(refused.value)


def test_odd_texts_come_back(tmp_path: Path) -> None:
    items = [Item("é\n\u2028\x85|", {"path": "\udcff.png", "deep": {"list": [None, True, 1e-300]}})]
    assert planned(tmp_path, items=items).items(0) == items


def test_changed_files_are_noticed(tmp_path: Path) -> None:
    plan = planned(tmp_path / "a")
    path = tmp_path / "a" / "items.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"number":3', b'"number":4'))
    with pytest.raises(WorkError, match="not the items that were planned"):
        plan.check_items()
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(WorkError, match="not the items that were planned"):
        plan.items(plan.shard_count - 1)
    path.unlink()
    with pytest.raises(WorkError, match="not the items that were planned"):
        plan.check_items()

    stored = tmp_path / "a" / "plan.json"
    facts = json.loads(stored.read_text())
    for changed, said in (
        ({**facts, "settings": {"a": 3}}, "was changed after it was written"),
        ({**facts, "format_version": 99}, r"wanted format 1, got format 99"),
        ({"format_version": 1}, "cannot be read"),
        ([], "cannot be read"),
    ):
        stored.write_text(json.dumps(changed))
        with pytest.raises(WorkError, match=said):
            read_plan(tmp_path / "a")


def test_shard_size_follows_from_the_number_of_items(tmp_path: Path) -> None:
    assert planned(tmp_path).shard_size == default_shard_size(10) == 4
    sizes = [default_shard_size(count) for count in (0, 1, 2, 100, 101, 3_000_000, 10**9)]
    assert sizes == [1, 1, 2, 10, 11, 1733, LARGEST_SHARD]


def test_planning_does_not_hold_the_items(tmp_path: Path) -> None:
    payload = {"path": "x" * 400}
    tracemalloc.start()
    plan = planned(tmp_path, items=(Item(f"k{number}", payload) for number in range(20_000)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert plan.count == 20_000
    assert (tmp_path / "items.jsonl").stat().st_size > 8_000_000
    assert peak < 2_000_000

"""Whatever is left of a ledger, going on from it gives the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fauxlens.work import Failure, Item, Outcome, Plan, results, run, write_plan
from fauxlens.work.ledger import completion_path, ledger_path, open_ledger, read_ledger

ITEMS = [Item(f"k{number}", {"do": "raise"} if number == 2 else {"number": number}) for number in range(6)]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, list[str]]:
    """A finished one-shard job: its folder, its ledger and its results."""
    folder = tmp_path_factory.mktemp("done")
    write_plan(
        folder, task="work_tasks:build_trouble", task_version="1", settings={}, items=ITEMS, shard_size=len(ITEMS)
    )
    run(folder, workers=0)
    return folder, ledger_path(folder, 0).read_bytes(), [outcome.text for outcome in results(folder)]


def went_on_from(folder: Path, ledger: bytes) -> list[str]:
    ledger_path(folder, 0).write_bytes(ledger)
    completion_path(folder, 0).unlink(missing_ok=True)
    run(folder, workers=0)
    return [outcome.text for outcome in results(folder)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_cut_anywhere(done: tuple[Path, bytes, list[str]], data: st.DataObject) -> None:
    folder, ledger, wanted = done
    cut = data.draw(st.integers(0, len(ledger)))
    assert went_on_from(folder, ledger[:cut]) == wanted
    # What was whole is not done again: no line but the torn one is written twice.
    assert ledger_path(folder, 0).read_bytes().startswith(ledger[: ledger.rfind(b"\n", 0, cut) + 1])
    assert ledger_path(folder, 0).read_bytes().count(b"\n") == len(ITEMS)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rotten_anywhere(done: tuple[Path, bytes, list[str]], data: st.DataObject) -> None:
    folder, ledger, wanted = done
    start = data.draw(st.integers(0, len(ledger) - 1))
    noise = data.draw(st.binary(min_size=1, max_size=40) | st.just(b"\0" * 40))
    assert went_on_from(folder, ledger[:start] + noise + ledger[start + len(noise) :]) == wanted


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_lines_in_any_order_and_doubled(done: tuple[Path, bytes, list[str]], data: st.DataObject) -> None:
    folder, ledger, wanted = done
    lines = ledger.splitlines(keepends=True)
    chosen = data.draw(st.lists(st.sampled_from(lines), max_size=12))
    assert went_on_from(folder, b"".join(chosen)) == wanted


def test_last_line_of_a_key_wins_and_times_do_not_count(done: tuple[Path, bytes, list[str]], tmp_path: Path) -> None:
    plan = write_plan(tmp_path, task="m:b", task_version="1", settings={}, items=ITEMS)
    first = Outcome("k0", "ok", result={"x": 1}, seconds=1.5)
    last = Outcome("k0", "failed", error=Failure("E", "m"), seconds=0.25)
    with open_ledger(plan, 0) as ledger:
        assert ledger is not None
        ledger.append(first)
        ledger.append(last)
        with open_ledger(plan, 0) as second:
            assert second is None, "one holder at a time"
    found = read_ledger(plan, 0)["k0"].outcome()
    assert found == last
    assert found.seconds == 0.25
    assert found == Outcome("k0", "failed", error=Failure("E", "m"), seconds=9)
    assert "seconds" not in found.text


def test_a_line_survives_without_closing(tmp_path: Path) -> None:
    plan: Plan = write_plan(tmp_path, task="m:b", task_version="1", settings={}, items=ITEMS)
    with open_ledger(plan, 0) as ledger:
        assert ledger is not None
        ledger.append(Outcome("k0", "ok", result={"text": "\ud800 \n \u2028"}))
        assert read_ledger(plan, 0)["k0"].outcome().result == {"text": "\ud800 \n \u2028"}

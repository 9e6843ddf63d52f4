"""Runs to the end: the same results whatever the workers, and every sort of trouble a sample can make."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any

import pytest

from fauxlens.core.errors import BadSetting, Interrupted, UnknownName, WorkError
from fauxlens.core.seeds import seed_for
from fauxlens.work import Item, Plan, reopen, results, run, run_shard, status, write_plan
from fauxlens.work.lease import announced
from fauxlens.work.ledger import completion_path, ledger_path


def plan_of(
    folder: Path,
    items: list[Item],
    task: str = "work_tasks:build_trouble",
    settings: Mapping[str, Any] | None = None,
    shard_size: int | None = 3,
) -> Plan:
    return write_plan(folder, task=task, task_version="1", settings=settings or {}, items=items, shard_size=shard_size)


def numbered(count: int, **payload: Any) -> list[Item]:
    return [Item(f"k{number}", {"number": number, **payload}) for number in range(count)]


def troubled(**does: str) -> list[Item]:
    """Ten items; those named do what is said."""
    return [Item(f"k{n}", {"do": does[f"k{n}"]} if f"k{n}" in does else {}) for n in range(10)]


def texts(folder: Path) -> list[str]:
    return [outcome.text for outcome in results(folder)]


def by_key(folder: Path) -> dict[str, Any]:
    return {outcome.key: outcome for outcome in results(folder)}


def test_results_do_not_depend_on_workers(tmp_path: Path) -> None:
    found = {}
    for workers in (0, 1, 2, 3):
        folder = tmp_path / str(workers)
        plan_of(folder, numbered(20), task="work_tasks:build_draw")
        summary = run(folder, workers=workers)
        assert (summary.total, summary.ok, summary.failed, summary.quarantined) == (20, 20, 0, 0)
        found[workers] = (texts(folder), summary.results_sha256)
        ledgers = [ledger_path(folder, shard).read_bytes() for shard in range(7)]
        assert sum(ledger.count(b"\n") for ledger in ledgers) == 20
    assert found[0] == found[1] == found[2] == found[3]
    assert [outcome.key for outcome in results(tmp_path / "3")] == [f"k{number}" for number in range(20)]


def test_results_do_not_depend_on_shards(tmp_path: Path) -> None:
    for size in (1, 7, 100):
        plan_of(tmp_path / str(size), numbered(20), task="work_tasks:build_draw", shard_size=size)
        run(tmp_path / str(size), workers=0)
    assert texts(tmp_path / "1") == texts(tmp_path / "7") == texts(tmp_path / "100")


def test_seed_is_the_sample_s_own(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, numbered(4), task="work_tasks:build_draw", settings={"seconds": 0})
    run(tmp_path, workers=0)
    for outcome in results(tmp_path):
        assert outcome.result is not None
        assert outcome.result["seed"] == seed_for(
            purpose="work", source=plan.task, image_id=outcome.key, method=plan.settings_sha256
        )


def test_a_second_run_does_nothing_again(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    plan_of(tmp_path / "w", numbered(6), task="work_tasks:build_draw", settings={"calls": str(calls)})
    first = run(tmp_path / "w", workers=0)
    second = run(tmp_path / "w", workers=2)
    assert len(calls.read_text().splitlines()) == 6
    assert (first.settled_before, second.settled_before) == (0, 6)
    assert first.results_sha256 == second.results_sha256


def test_an_empty_plan_is_done_at_once(tmp_path: Path) -> None:
    plan_of(tmp_path, [])
    assert run(tmp_path, workers=2).total == 0
    assert list(results(tmp_path)) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_failures_are_outcomes(tmp_path: Path, workers: int) -> None:
    does = {"k1": "raise", "k2": "raise ours", "k4": "leave", "k5": "nan", "k6": "list"}
    plan_of(tmp_path, troubled(**does))
    summary = run(tmp_path, workers=workers)
    assert (summary.ok, summary.failed, summary.quarantined) == (5, 5, 0)
    assert summary.failures == {"SystemExit": 1, "ValueError": 1, "WorkError": 3}
    found = by_key(tmp_path)
    assert (found["k1"].error.kind, found["k1"].error.message) == ("ValueError", "no good")
    assert found["k2"].error.message == "there: not like this"
    assert found["k2"].error.hint == "do it otherwise"
    assert "not JSON" in found["k5"].error.message
    assert "wanted a mapping, got list" in found["k6"].error.message
    assert found["k7"].status == "ok"


def test_poison_is_given_up_and_the_rest_is_done(tmp_path: Path) -> None:
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        plan_of(folder, troubled(k1="kill", k7="exit"))
        summary = run(folder, workers=workers)
        assert (summary.ok, summary.failed, summary.quarantined) == (8, 0, 2)
        found = by_key(folder)
        assert found["k1"].status == "quarantined"
        assert found["k1"].error.kind == "WorkerDied"
        assert "SIGKILL" in found["k1"].error.message
        assert "exit code 5" in found["k7"].error.message
    assert texts(tmp_path / "1") == texts(tmp_path / "2")


def test_a_sample_that_kills_once_gets_its_second_chance(tmp_path: Path) -> None:
    plan_of(tmp_path / "w", troubled(k4="kill once"), settings={"mark": str(tmp_path / "mark"), "process": True})
    summary = run(tmp_path / "w", workers=2)
    assert (summary.ok, summary.quarantined) == (10, 0)
    processes = {key: outcome.result["process"] for key, outcome in by_key(tmp_path / "w").items()}
    alone = processes.pop("k4")
    assert alone not in processes.values(), "the second chance is in a worker that had nothing else"


def test_a_hanging_sample_is_given_up(tmp_path: Path) -> None:
    plan_of(tmp_path, troubled(k2="hang"))
    summary = run(tmp_path, workers=2, seconds_limit=0.5)
    assert (summary.ok, summary.quarantined) == (9, 1)
    assert by_key(tmp_path)["k2"].error.kind == "OutOfTime"
    assert "0.5 s" in by_key(tmp_path)["k2"].error.message


def test_workers_are_replaced_after_so_many_samples(tmp_path: Path) -> None:
    plan_of(tmp_path, troubled(), settings={"process": True}, shard_size=5)
    run(tmp_path, workers=1, recycle_after=3)
    processes = [outcome.result["process"] for outcome in results(tmp_path) if outcome.result]
    assert len(set(processes)) == 4
    assert max(processes.count(process) for process in processes) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_a_task_that_cannot_be_built_is_one_clear_error(tmp_path: Path, workers: int) -> None:
    plan_of(tmp_path, numbered(4), task="work_tasks:build_broken")
    with pytest.raises(WorkError, match="could not be built: RuntimeError: the weights are not there"):
        run(tmp_path, workers=workers)
    plan_of(tmp_path / "b", numbered(4), task="work_tasks:no_such_factory")
    with pytest.raises(WorkError, match="could not be built: AttributeError"):
        run(tmp_path / "b", workers=workers)


def test_a_factory_that_kills_its_process_ends_the_run(tmp_path: Path) -> None:
    plan_of(tmp_path, numbered(4), task="work_tasks:build_deadly")
    with pytest.raises(WorkError, match="before they are ready: the last one ended with exit code 9"):
        run(tmp_path, workers=1)


def test_workers_ignore_signals_meant_for_the_run(tmp_path: Path) -> None:
    plan_of(tmp_path, troubled(k1="interrupt me", k2="terminate me"))
    assert run(tmp_path, workers=1).ok == 10


@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_leaves_a_state_to_go_on_from(tmp_path: Path, workers: int) -> None:
    does = "interrupt the parent" if workers else "interrupt me"
    plan_of(tmp_path / "a", troubled(k4=does), shard_size=10)
    plan_of(tmp_path / "b", troubled(k4=does), shard_size=10)
    with pytest.raises(Interrupted, match=r"run the same command again"):
        run(tmp_path / "a", workers=workers)
    kept = list(results(tmp_path / "a", partial=True))
    assert [outcome.key for outcome in kept] == [f"k{number}" for number in range(5)], "the sample in hand is finished"
    with pytest.raises(WorkError, match="shard 0 of 1 is not done"):
        results(tmp_path / "a")
    summary = run(tmp_path / "a", workers=workers)
    assert (summary.ok, summary.settled_before) == (10, 5)
    with pytest.raises(Interrupted):
        run(tmp_path / "b", workers=workers)
    run(tmp_path / "b", workers=1)
    assert texts(tmp_path / "a") == texts(tmp_path / "b")


def test_one_shard_is_one_command(tmp_path: Path) -> None:
    plan_of(tmp_path, numbered(8), task="work_tasks:build_draw")
    record = run_shard(tmp_path, 2, workers=0)
    assert (record.shard, record.rows, record.ok) == (2, 2, 2)
    assert [outcome.key for outcome in results(tmp_path, partial=True)] == ["k6", "k7"]
    run_shard(tmp_path, 0)
    run_shard(tmp_path, 1, workers=0)
    assert len(texts(tmp_path)) == 8
    with pytest.raises(WorkError, match=r"no such shard \(wanted 0 to 2, got 3\)"):
        run_shard(tmp_path, 3)


def test_two_runs_at_once_in_one_process(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    settings = {"calls": str(calls), "seconds": 0.01}
    plan_of(tmp_path / "w", numbered(30), task="work_tasks:build_draw", settings=settings)
    summaries = []
    threads = [
        threading.Thread(target=lambda workers=workers: summaries.append(run(tmp_path / "w", workers=workers)))
        for workers in (0, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(summaries) == 2
    assert summaries[0].results_sha256 == summaries[1].results_sha256
    worked_on = [line.split()[0] for line in calls.read_text().splitlines()]
    assert sorted(worked_on) == sorted(set(worked_on)), "no sample is worked on twice"
    assert len(texts(tmp_path / "w")) == 30


def test_progress_goes_up_and_arrives(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    plan_of(tmp_path, numbered(12), task="work_tasks:build_draw", settings={"seconds": 0.03})
    run(tmp_path, workers=2, progress=lambda done, total, what: told.append((done, total)))
    assert told[0] == (0, 12)
    assert told[-1] == (12, 12)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(told) > 2


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    plan_of(tmp_path, numbered(2))
    with pytest.raises(BadSetting, match="negative"):
        run(tmp_path, workers=-1)
    with pytest.raises(BadSetting, match="seconds_limit needs a worker"):
        run(tmp_path, workers=0, seconds_limit=1)
    with pytest.raises(BadSetting, match="positive"):
        run(tmp_path, workers=1, seconds_limit=0)
    with pytest.raises(BadSetting, match="recycle_after"):
        run(tmp_path, workers=1, recycle_after=0)
    with pytest.raises(UnknownName, match="Did you mean 'local'"):
        run(tmp_path, workers=1, launcher="locale")
    with pytest.raises(WorkError, match="no plan in this folder"):
        run(tmp_path / "nowhere", workers=1)


def test_the_handlers_of_the_caller_come_back(tmp_path: Path) -> None:
    import signal

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    plan_of(tmp_path, numbered(2))
    run(tmp_path, workers=1)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_tampered_record_is_not_believed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    calls = tmp_path / "calls"
    folder = tmp_path / "w"
    plan_of(folder, numbered(9), task="work_tasks:build_draw", settings={"calls": str(calls)})
    run(folder, workers=0)
    before = texts(folder)
    ledger = ledger_path(folder, 1)
    lines = ledger.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"number":4', b'"number":5')
    ledger.write_bytes(b"".join(lines))
    with pytest.raises(WorkError, match="does not fit its ledger"):
        list(results(folder))
    with caplog.at_level(logging.WARNING, logger="fauxlens.work"):
        summary = run(folder, workers=0)
    assert summary.disbelieved == (1,)
    assert "is not believed" in caplog.text
    assert texts(folder) == before
    assert [line.split()[0] for line in calls.read_text().splitlines()[9:]] == ["k4"], "only the changed line is redone"

    record = completion_path(folder, 2)
    record.write_text(record.read_text().replace('"ok": 3', '"ok": 2'))
    assert run(folder, workers=1).disbelieved == (2,)
    completion_path(folder, 0).write_text("{}")
    assert run(folder, workers=0).disbelieved == (0,)
    assert texts(folder) == before
    assert len(calls.read_text().splitlines()) == 10


def test_a_missing_ledger_makes_its_record_worthless(tmp_path: Path) -> None:
    plan_of(tmp_path, numbered(6), task="work_tasks:build_draw")
    run(tmp_path, workers=0)
    before = texts(tmp_path)
    ledger_path(tmp_path, 0).unlink()
    assert run(tmp_path, workers=0).disbelieved == (0,)
    assert texts(tmp_path) == before


def test_a_ledger_from_elsewhere_is_not_believed(tmp_path: Path) -> None:
    for name, seconds in (("a", 0), ("b", 0.001)):
        plan_of(tmp_path / name, numbered(6), task="work_tasks:build_draw", settings={"seconds": seconds})
    run(tmp_path / "a", workers=0)
    (tmp_path / "b" / "shards" / "00000.jsonl").write_bytes(ledger_path(tmp_path / "a", 0).read_bytes())
    (tmp_path / "b" / "shards" / "00000.done.json").write_bytes(completion_path(tmp_path / "a", 0).read_bytes())
    assert status(tmp_path / "b").done == 0
    assert run(tmp_path / "b", workers=0).settled_before == 0
    assert texts(tmp_path / "b") != texts(tmp_path / "a")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_full_disk_ends_the_run_and_fails_no_sample(tmp_path: Path, workers: int) -> None:
    resource = pytest.importorskip("resource")
    plan_of(tmp_path, numbered(3))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # What processes share lies in a file too: it is made before, and the room is given back, whatever tests ran here.
    RawArray("b", 1024)
    # Room for one line and a part of the second; a worker process inherits the limit.
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        with pytest.raises(WorkError, match="File too large"):
            run(tmp_path, workers=workers)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not ledger_path(tmp_path, 0).read_bytes().endswith(b"\n")
    assert run(tmp_path, workers=workers).ok == 3


def test_failures_can_be_done_again(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    plan_of(tmp_path / "w", troubled(k1="need the mark", k2="raise", k8="need the mark"), settings={"mark": str(mark)})
    before = run(tmp_path / "w", workers=0)
    assert before.failures == {"FileNotFoundError": 2, "ValueError": 1}
    mark.touch()
    assert run(tmp_path / "w", workers=0).results_sha256 == before.results_sha256, "an outcome stays what it is"
    assert reopen(tmp_path / "w", statuses=["quarantined"]) == 0
    assert reopen(tmp_path / "w") == 3
    assert status(tmp_path / "w").done == 7
    after = run(tmp_path / "w", workers=0)
    assert (after.ok, after.failures, after.settled_before) == (9, {"ValueError": 1}, 7)
    with announced(tmp_path / "w"), pytest.raises(WorkError, match="a run is going on"):
        reopen(tmp_path / "w")
    with pytest.raises(WorkError, match="no such status"):
        reopen(tmp_path / "w", statuses=["broken"])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_relative_folder_and_a_task_that_changes_it(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan_of(Path("w"), troubled(k1="change folder"))
    assert run(Path("w"), workers=workers).ok == 10
    assert status(tmp_path / "w").ok == 10


def test_status_of_what_is_done_and_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="no plan in this folder"):
        status(tmp_path)
    plan_of(tmp_path, troubled(k1="raise", k2="kill"))
    fresh = status(tmp_path)
    assert (fresh.total, fresh.done, fresh.rate, fresh.seconds_left, fresh.running) == (10, 0, None, None, False)
    run(tmp_path, workers=1)
    done = status(tmp_path)
    assert (done.done, done.ok, done.failed, done.quarantined) == (10, 8, 1, 1)
    assert done.failures == {"ValueError": 1, "WorkerDied": 1}
    assert (done.shards_done, done.shards_total, done.running) == (4, 4, False)
    assert done.seconds_left in (0, None)


def test_status_while_it_runs(tmp_path: Path) -> None:
    plan_of(tmp_path, numbered(30), task="work_tasks:build_draw", settings={"seconds": 0.05}, shard_size=10)
    thread = threading.Thread(target=lambda: run(tmp_path, workers=0))
    thread.start()
    seen = []
    while thread.is_alive():
        seen.append(status(tmp_path))
        thread.join(0.1)
    counts = [one.done for one in seen]
    assert counts == sorted(counts)
    middle = [one for one in seen if 5 < one.done < 30]
    assert middle
    assert all(one.running for one in middle)
    assert all(one.rate is not None and 5 < one.rate < 25 for one in middle)
    assert all(one.seconds_left is not None and 0 < one.seconds_left < 6 for one in middle)
    assert status(tmp_path).running is False


def test_no_file_handle_is_left_open(tmp_path: Path) -> None:
    fd = Path("/proc/self/fd")
    if not fd.exists():
        pytest.skip("needs /proc")
    plan_of(tmp_path / "a", numbered(4))
    run(tmp_path / "a", workers=1)  # starts what multiprocessing keeps for good
    before = len(list(fd.iterdir()))
    plan_of(tmp_path / "b", troubled(k1="kill"))
    run(tmp_path / "b", workers=2)
    list(results(tmp_path / "b"))
    status(tmp_path / "b")
    assert len(list(fd.iterdir())) == before

"""Kill -9, at any moment, of anybody: going on gives the bytes of a run that was left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fauxlens.work import Item, results, run, status, write_plan

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
JOB = Path(__file__).parent.parent / "work_jobs.py"


def planned(folder: Path, calls: Path | None = None, seconds: float = 0.01) -> Path:
    # The file of calls is in the settings, so that plans that are compared must share it.
    write_plan(
        folder,
        task="work_tasks:build_draw",
        task_version="1",
        settings={"seconds": seconds, **({"calls": str(calls)} if calls else {})},
        items=[Item(f"k{number}", {"number": number}) for number in range(60)],
        shard_size=7,
    )
    return folder


def started(folder: Path, workers: int) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(JOB.parent), *filter(None, sys.path)])
    return subprocess.Popen(
        [sys.executable, str(JOB), str(folder), str(workers)],
        env={**os.environ, "PYTHONPATH": paths},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def texts(folder: Path) -> list[str]:
    return [outcome.text for outcome in results(folder)]


def wait_for(condition: object, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_kill_of_everything_at_random_moments(tmp_path: Path, workers: int) -> None:
    calls = tmp_path / "calls"
    undisturbed = planned(tmp_path / "undisturbed", calls)
    run(undisturbed, workers=0)
    calls.unlink()
    folder = planned(tmp_path / "killed", calls)
    chance = random.Random(workers)
    kills = 0
    for _ in range(5):
        before = status(folder).done
        job = started(folder, workers)
        # Not before it got somewhere, or a slow machine would only ever be killed while it starts.
        wait_for(lambda before=before, job=job: job.poll() is not None or status(folder).done > before)
        time.sleep(chance.uniform(0, 0.1))
        kills += job.poll() is None
        os.killpg(job.pid, signal.SIGKILL)
        job.communicate()
    assert kills >= 2
    assert status(folder).done > 0
    wait_for(lambda: not status(folder).running)
    summary = run(folder, workers=workers)
    assert (summary.total, summary.ok) == (60, 60)
    assert texts(folder) == texts(undisturbed)
    done_more_than_once = len(calls.read_text().splitlines()) - 60
    assert done_more_than_once <= kills * max(1, workers), "a kill loses at most the sample in hand"


def test_kill_of_the_parent_alone(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    folder = planned(tmp_path / "w", calls, seconds=0.05)
    job = started(folder, 2)
    wait_for(lambda: status(folder).done >= 4)
    workers = {int(line.split()[1]) for line in calls.read_text().splitlines()}
    assert job.pid not in workers
    os.kill(job.pid, signal.SIGKILL)
    job.communicate()
    wait_for(lambda: not any(is_alive(worker) for worker in workers), 5)
    before = status(folder)
    assert before.done < 60
    assert before.running is False
    assert run(folder, workers=0).settled_before == before.done
    assert [outcome.key for outcome in results(folder)] == [f"k{number}" for number in range(60)]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_signal_to_the_whole_group_finishes_the_samples_in_hand(tmp_path: Path, ending: signal.Signals) -> None:
    calls = tmp_path / "calls"
    folder = planned(tmp_path / "w", calls, seconds=0.05)
    job = started(folder, 2)
    wait_for(lambda: status(folder).done >= 4)
    assert status(folder).running
    os.killpg(job.pid, ending)  # as a terminal does on ctrl-C
    said, _ = job.communicate(timeout=20)
    assert job.returncode == 130
    assert "run the same command again" in said
    after = status(folder)
    assert 4 <= after.done < 60
    assert not after.running
    assert after.done == len(calls.read_text().splitlines()), "every sample that was begun was finished"
    run(folder, workers=1)
    assert len(calls.read_text().splitlines()) == 60


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    folder = planned(tmp_path / "w", calls, seconds=30)
    job = started(folder, 2)
    wait_for(lambda: calls.exists() and len(calls.read_text().splitlines()) == 2)
    os.killpg(job.pid, signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        job.wait(0.5)
    os.killpg(job.pid, signal.SIGINT)
    said, _ = job.communicate(timeout=5)
    assert job.returncode == 130
    assert "run the same command again" in said
    assert not any(is_alive(int(line.split()[1])) for line in calls.read_text().splitlines())


def test_two_commands_at_once(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    folder = planned(tmp_path / "w", calls)
    jobs = [started(folder, 1), started(folder, 1)]
    digests = [job.communicate(timeout=60)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0]
    assert digests[0] == digests[1] != ""
    keys = [line.split()[0] for line in calls.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 60, "no sample is worked on twice"


def test_the_other_of_two_commands_takes_over(tmp_path: Path) -> None:
    folder = planned(tmp_path / "w", tmp_path / "calls", seconds=0.03)
    jobs = [started(folder, 1), started(folder, 1)]
    wait_for(lambda: status(folder).done >= 8)
    os.killpg(jobs[0].pid, signal.SIGKILL)
    jobs[0].communicate()
    jobs[1].communicate(timeout=60)
    assert jobs[1].returncode == 0
    assert len(texts(folder)) == 60


def is_alive(process: int) -> bool:
    try:
        # An orphan that has ended may wait for its new parent to notice.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        if Path("/proc").exists():
            return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True

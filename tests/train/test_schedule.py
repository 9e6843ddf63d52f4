"""Learning rates: each shape against a case worked by hand, and the plateau's memory."""

from __future__ import annotations

import math

import pytest

from fauxlens.core.errors import BadSetting
from fauxlens.train.schedule import Plateau, Schedule


def test_a_rise_and_half_a_cosine_by_steps() -> None:
    plan = Schedule(shape="cosine", rise=2.0, rise_from=0.1, floor=0.2)
    found = [plan.share(epoch, 10) for epoch in (0.0, 0.5, 1.0, 2.0, 6.0, 10.0)]
    # 0.1 + 0.9 e / 2; then 0.2 + 0.8 (1 + cos(pi (e - 2) / 8)) / 2
    assert found == pytest.approx([0.1, 0.325, 0.55, 1.0, 0.6, 0.2])
    quarter = 0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi / 4))
    assert plan.share(4.0, 10) == pytest.approx(quarter)
    assert plan.share(25.0, 10) == pytest.approx(0.2)


def test_a_cosine_that_counts_from_the_start_and_cools() -> None:
    plan = Schedule(shape="cosine", per="epoch", rise=3, rise_from=0.002, floor=2e-5, cosine_from="start", cool=10)
    # 200 epochs and 10 at the floor: at epoch 3 the cosine has already begun.
    assert plan.share(0, 210) == pytest.approx(0.002)
    assert plan.share(3, 210) == pytest.approx(2e-5 + (1 - 2e-5) * 0.5 * (1 + math.cos(math.pi * 3 / 200)))
    assert plan.share(100.9, 210) == pytest.approx(2e-5 + (1 - 2e-5) * 0.5)
    assert [plan.share(epoch, 210) for epoch in (200, 209)] == pytest.approx([2e-5, 2e-5])


def test_steps_and_constants() -> None:
    plan = Schedule(shape="steps", per="epoch", every=10, factor=0.9)
    assert [plan.share(epoch, 50) for epoch in (0, 9.9, 10, 49)] == pytest.approx([1.0, 1.0, 0.9, 0.9**4])
    assert Schedule().share(7.3, 10) == 1.0
    assert Schedule(shape="cosine", rise=5).share(3, 3) == pytest.approx(0.6)  # a run shorter than its rise


def test_a_plateau_waits_and_then_falls() -> None:
    plan = Schedule(shape="plateau", factor=0.1, patience=2, gain=-0.002)
    state = Plateau()
    # 0.799 is a little worse than 0.8, which still counts as no stall; then two that are not.
    told = [state.tell(score, plan) for score in (0.7, 0.8, 0.799, 0.79, 0.78, 0.78, 0.9)]
    assert told == [False, False, False, False, True, False, False]
    assert (state.stalls, state.best) == (1, 0.9)
    assert plan.share(3.2, 100, state.stalls) == pytest.approx(0.1)


def test_a_score_that_is_no_number_is_no_gain() -> None:
    plan, state = Schedule(shape="plateau", patience=1), Plateau()
    assert not state.tell(0.5, plan)
    assert state.tell(math.nan, plan)
    assert state.tell(math.nan, plan)
    assert not state.tell(0.4, plan)


@pytest.mark.parametrize(
    "given", [{"rise": -1.0}, {"floor": 2.0}, {"rise_from": 1.5}, {"factor": 0.0}, {"every": 0}, {"patience": 0}]
)
def test_schedules_that_cannot_be_meant(given: dict[str, float]) -> None:
    with pytest.raises(BadSetting):
        Schedule(**given)  # type: ignore[arg-type]

"""What an act would touch: counted, priced, and what is left out with its reason."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.zjops.actions.doors import ToldDoor, delivery
from tests.unit.zjops.client.test_standing import QUIET
from zjops.actions.acts import REASON_MOST, Act, Target, checked_reason
from zjops.actions.preview import look, of_cancel, of_redelivery, of_relayer, of_retry, told
from zjops.actions.targets import Aim, Aimed, take_aim
from zjops.actions.worth import fees_of, worth_of
from zjops.domain.errors import UsageError
from zjops.domain.jobs import ACTIVE, JobState
from zjops.domain.plans import price_book
from zjops.recording.filters import parse
from zjops.recording.reader import Recording, Sort


def job(number: int, state: str, plan: str = "pro", units: int = 100) -> Target:
    return Target(f"job_{number}", "acme", plan, state, units)


def aimed(*targets: Target, total: int | None = None) -> Aimed:
    return Aimed(targets, len(targets) if total is None else total)


class TestCancel:
    """Active jobs alone, waiting and running ones apart."""

    def test_each_kind_is_told_with_units_and_dollars(self) -> None:
        found = of_cancel(aimed(job(1, "pending"), job(2, "processing"), job(3, "confirmed"), job(4, "confirmed"),
                                job(5, "failed")))  # fmt: skip
        assert told(found) == [
            "cancel 2 jobs of 5 chosen",
            "  1 pending: released, 100 compute units = $0.00099 of their plans' fees",
            "  1 processing: told to stop, charged all the same, 100 compute units = $0.00099 of their plans' fees",
            "  skipped: already confirmed (2)",
            "  skipped: already failed (1)",
        ]
        assert found.items == ("job_1", "job_2")

    @given(st.lists(st.sampled_from([state.value for state in JobState])))
    def test_every_job_is_either_touched_or_skipped(self, states: list[str]) -> None:
        found = of_cancel(aimed(*(job(index, state) for index, state in enumerate(states))))
        assert len(found.items) == sum(state in ACTIVE for state in states)
        assert len(found.items) + sum(number for _, number in found.skipped) == len(states)
        assert found.nothing == (not found.items)

    def test_a_bound_that_cuts_is_said_aloud(self) -> None:
        found = of_cancel(aimed(job(1, "pending"), total=4_213))
        assert "CUT: 1 of 4,213 jobs are touched, the first in order; 4,212 are not" in found.facts


def test_only_dead_letters_that_wait_are_retried() -> None:
    found = of_retry(aimed(job(1, "failed"), job(2, "failed"), job(3, "completed")), frozenset({"job_1", "job_9"}))
    assert told(found) == [
        "retry 1 dead letter of 3 chosen",
        "  as new jobs that are held and billed anew: 100 compute units = $0.00099 of their plans' fees",
        "  skipped: failed, but no dead letter that waits (1)",
        "  skipped: no dead letter: completed (1)",
    ]
    assert found.items == ("job_1",)


class TestRedeliver:
    """Deliveries by host."""

    DELIVERIES = (
        delivery("msg_1", "job_1"), delivery("msg_2", "job_1", host="b.example:8443"), delivery("msg_3", "job_2"),
        delivery("msg_4", "job_2", "delivered"), delivery("msg_5", "job_2", "pending"),
        delivery("msg_6", "job_2", gone=True),
    )  # fmt: skip
    JOBS = aimed(job(1, "failed"), job(2, "completed"), job(3, "completed"))

    def test_those_that_failed(self) -> None:
        found = of_redelivery(self.JOBS, self.DELIVERIES, delivered=False)
        assert told(found) == [
            "redeliver 3 deliveries of 2 of 3 jobs",
            "  2 to a.example, 1 to b.example:8443",
            "  no unit is charged or released: 200 compute units = $0.00198 of their plans' fees stay as they are",
            "  skipped: delivery arrived already (1)",
            "  skipped: delivery is under way (1)",
            "  skipped: endpoint of the delivery was taken away (1)",
            "  skipped: job told nobody (1)",
        ]

    def test_those_that_arrived_too_when_that_is_asked(self) -> None:
        found = of_redelivery(self.JOBS, self.DELIVERIES, delivered=True)
        assert found.items == ("msg_1", "msg_2", "msg_3", "msg_4")

    def test_many_hosts_are_counted(self) -> None:
        found = of_redelivery(
            self.JOBS, [delivery(f"msg_{n}", "job_1", host=f"h{n}.example") for n in range(9)], delivered=False
        )
        assert found.facts[0].endswith("1 to h5.example, and to 3 hosts more")


@pytest.mark.parametrize(("act", "paused"), [(Act.PAUSE, False), (Act.RESUME, True)])
def test_the_relayer(act: Act, paused: bool) -> None:
    view = msgspec.structs.replace(QUIET, paused=paused, open_batches=2, open_jobs=30, waiting_jobs=4)
    found = of_relayer(act, view)
    assert (found.items, found.jobs) == (("relayer",), 34)
    assert "2 batches of 30 jobs, and 4 jobs in none yet" in found.facts[0]
    again = of_relayer(act, msgspec.structs.replace(view, paused=not paused))
    assert again.nothing
    assert told(again)[-1] == f"  skipped: {'paused' if act is Act.PAUSE else 'not paused'} already"


def test_each_act_asks_the_platform_for_what_it_needs() -> None:
    door = ToldDoor(dead=frozenset({"job_1"}), deliveries=TestRedeliver.DELIVERIES)
    jobs = aimed(job(1, "failed"), job(2, "pending"))
    assert look(Act.CANCEL, jobs, door).items == ("job_2",)
    assert look(Act.RETRY, jobs, door).items == ("job_1",)
    assert look(Act.REDELIVER, jobs, door).items == ("msg_1", "msg_2", "msg_3")
    assert look(Act.REDELIVER, jobs, door, delivered=True).items[-1] == "msg_4"
    assert look(Act.PAUSE, jobs, door).items == ("relayer",)


class TestWorth:
    """Units and dollars by the price book."""

    def test_plans_without_a_fee_are_said(self) -> None:
        text = worth_of([job(1, "pending", "free", 50), job(2, "pending", "pro", 1_000_000)])
        assert text == "1,000,050 compute units = $9.90 of their plans' fees (50 of plans without a fee)"

    def test_a_plan_that_is_not_known_has_no_price(self) -> None:
        assert fees_of({"other": 7}) == (0, 7)

    @given(st.dictionaries(st.sampled_from(sorted(price_book().plans)), st.integers(0, 10**9)))
    def test_a_whole_month_of_a_plan_is_its_fee(self, units: dict[str, int]) -> None:
        whole = {name: price_book().plan(name).compute_units for name in units}
        assert fees_of(whole)[0] == sum(price_book().plan(name).fee_microusd for name in units)


class TestAim:
    """Jobs that are named, and those of a filter."""

    def test_a_filter_in_the_order_of_the_list(self, recorded: Path, at_ms: int) -> None:
        recording = Recording(recorded)
        aim = Aim("failed ones", where=parse("status:failed"), sort=Sort("age", True))
        found = take_aim(aim, recording, at_ms, most=3)
        assert found.total == recording.count(at_ms, parse("status:failed")) > 3
        assert [one.state for one in found.targets] == ["failed"] * 3
        oldest = recording.page(at_ms, where=parse("status:failed"), sort=Sort("age", True), limit=1)[0][1]
        assert found.targets[0] == Target.of_row(oldest)
        recording.close()

    def test_names_that_are_not_there_are_left_out_and_counted(self, recorded: Path, at_ms: int) -> None:
        recording = Recording(recorded)
        known = recording.page(at_ms, limit=1)[0][1].job_id
        found = take_aim(Aim("two", (known, "job_none")), recording, at_ms)
        assert ([one.job_id for one in found.targets], found.total, found.unknown) == ([known], 2, 1)
        assert look(Act.CANCEL, found, ToldDoor()).skipped[-1] == ("not in the recording", 1)
        assert take_aim(Aim("two", (known, known)), recording, at_ms, most=1).unknown == 0
        recording.close()


@pytest.mark.parametrize(("text", "said"), [("", "say why"), (" \t", "say why"), ("x" * (REASON_MOST + 1), "at most")])
def test_a_reason_that_is_none_or_too_long_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        checked_reason(text)
    assert checked_reason("  because \n") == "because"

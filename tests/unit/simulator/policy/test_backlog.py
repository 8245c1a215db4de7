"""While accepted work waits too long for the platform, less comes in than gets done; a burst that passes is let in."""

from __future__ import annotations

from collections import Counter, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.policy.backlog import (
    CALM_PART,
    COME_BACK_MOST_S,
    LEARNT_S,
    LEAST,
    PART,
    PATIENCE_S,
    REMEMBERED_S,
    Backlog,
    Behind,
    Pace,
    together,
    worth_telling,
)

MOST_S = 5.0
LATE = Behind(9.0, 1_000.0)
MANY = 1_000_000


class Platform:
    """Accepts what is let in, and does so many jobs a second in the order in which they came."""

    def __init__(self, rate: float, most_s: float = MOST_S) -> None:
        self.backlog, self.rate = Backlog(most_s), rate
        self.queue: deque[tuple[float, str]] = deque()
        self.let_in: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.at, self._seen_at = 0.0, -1.0

    def run(self, offered: dict[str, float], seconds: float, sizes: dict[str, int] | None = None) -> None:
        """So many submissions a second of each tenant for so long, in steps of a tenth, some of several jobs."""
        due: Counter[str] = Counter()
        for _ in range(round(seconds * 10)):
            self.at += 0.1
            done = [self.queue.popleft() for _ in range(min(len(self.queue), round(self.rate / 10)))]
            if self.at >= self._seen_at + 1:
                self._seen_at = self.at
                behind = Behind(self.at - done[-1][0], self.rate) if done else Behind()
                self.backlog.see(behind, len(self.queue), self.at)
            for tenant, per_s in offered.items():
                due[tenant] += per_s / 10  # type: ignore[assignment]
                while due[tenant] >= 1:
                    due[tenant] -= 1
                    self._offer(tenant, (sizes or {}).get(tenant, 1))

    def _offer(self, tenant: str, jobs: int) -> None:
        if self.backlog.refusal(tenant, self.at) is None:
            self.backlog.took(tenant, 1, self.at)
            self.backlog.took(tenant, jobs - 1, self.at)
            self.let_in[tenant] += jobs
            self.queue += [(self.at, tenant)] * jobs
        else:
            self.refused[tenant] += 1

    @property
    def wait_s(self) -> float:
        """How long what comes now waits."""
        return len(self.queue) / self.rate


def test_a_burst_of_ten_seconds_is_let_in_and_what_comes_after_it_too() -> None:
    platform = Platform(1_800)
    platform.run({"a": 5_000}, 10)
    platform.run({"a": 500}, 60)
    assert not platform.refused
    assert platform.wait_s < 0.2


def test_a_crowd_that_stays_keeps_the_wait_short_and_what_gets_done_is_let_in() -> None:
    platform = Platform(1_000)
    platform.run({"a": 3_000}, 120)
    assert platform.wait_s < 2 * (MOST_S + PATIENCE_S)
    assert sum(platform.let_in.values()) > 0.9 * 120 * 1_000, "nobody is refused while the platform has nothing to do"
    platform.run({}, 20)
    assert platform.wait_s == 0
    platform.run({"a": 900}, 5)
    before = platform.refused.total()
    platform.run({"a": 900}, 10)
    assert platform.refused.total() == before, "and it is forgotten"


def test_a_flood_keeps_nobody_else_out() -> None:
    platform = Platform(1_000)
    platform.run({"flood": 4_000, "calm": 20, "other": 40}, 60)
    assert platform.refused["flood"] > 1_000
    assert not platform.refused["calm"] + platform.refused["other"]


def test_nobody_is_refused_before_the_wait_has_been_long_for_a_while() -> None:
    backlog, late = Backlog(MOST_S), Behind(MOST_S + 0.01, 1_000)
    backlog.see(late, MANY, 0.0)
    assert not backlog.standing
    backlog.see(late, MANY, PATIENCE_S - 0.1)
    assert not backlog.standing
    backlog.see(late, MANY, PATIENCE_S)
    assert backlog.standing
    backlog.see(Behind(MOST_S, 1_000), MANY, PATIENCE_S + 1)
    assert not backlog.standing
    backlog.see(late, MANY, PATIENCE_S + 2)
    assert not backlog.standing, "patience begins anew"


def test_what_has_waited_long_when_it_is_settled_was_late_long_before() -> None:
    backlog = Backlog(MOST_S)
    for second in range(11):
        backlog.see(Behind(), MANY, second)
    backlog.see(Behind(MOST_S + PATIENCE_S + 1, 100), MANY, 11)
    assert not backlog.standing, "how much gets done is not known yet"
    backlog.see(Behind(MOST_S + PATIENCE_S + 1, 100), MANY, 11.3)
    assert not backlog.standing, "nor by the same word, heard once more"
    backlog.see(Behind(MOST_S + PATIENCE_S + 1, 1_700), MANY, 11 + LEARNT_S)
    assert backlog.standing


@pytest.mark.parametrize(("wait_s", "most_s"), [(5.2, 1), (9.5, 9), (1_000.0, COME_BACK_MOST_S)])
def test_refusals_say_how_long_jobs_wait_and_spread_when_to_come_back(wait_s: float, most_s: int) -> None:
    backlog = Backlog(MOST_S)
    for at in (0.0, PATIENCE_S):
        backlog.see(Behind(wait_s, 10.0), round(10 * wait_s), at)
    backlog.took("a", 1_000, PATIENCE_S)
    told = [backlog.refusal("a", PATIENCE_S) for _ in range(1_000)]
    assert all(f"{wait_s:.0f} s" in one.why for one in told if one is not None)
    times = Counter(one.retry_after_s for one in told if one is not None)
    assert set(times) == set(range(1, most_s + 1))
    assert max(times.values()) - min(times.values()) <= 3, "evenly"


def test_who_came_before_a_long_silence_keeps_nobody_out() -> None:
    platform = Platform(2_000)
    platform.run({"a": 4_000}, 17)
    refused = platform.backlog.refusal("a", platform.at)
    assert refused is not None
    assert 1 <= refused.retry_after_s <= (platform.wait_s - MOST_S) / (1 - PART) + 3
    platform.run({}, (platform.wait_s - MOST_S) + 1)
    assert not platform.backlog.standing, "though what is settled now has waited for longer than it may"
    assert platform.queue
    assert platform.at - platform.queue[0][0] > MOST_S


def test_clients_that_come_back_when_they_are_told_keep_it_busy_and_the_wait_short() -> None:
    platform, back = Platform(2_000), dict.fromkeys("abcd", 0.0)
    for _ in range(1_200):
        # Each sends as much as it is let: far more than can be done.
        ready = {name: 1_500.0 for name, at in back.items() if at <= platform.at}
        platform.run(ready, 0.1)
        for name in ready:
            refused = platform.backlog.refusal(name, platform.at)
            if refused is not None:
                back[name] = platform.at + refused.retry_after_s
    assert sum(platform.let_in.values()) - len(platform.queue) > 0.95 * 120 * platform.rate
    assert platform.wait_s < 2 * MOST_S


def test_clocks_that_differ_make_no_wait() -> None:
    backlog = Backlog(MOST_S)
    for at in range(60):
        backlog.see(Behind(3_600.0, 1_000.0), 900, float(at))
        assert not backlog.standing


@pytest.mark.parametrize(("rate", "bulks", "calm"), [(100, 20, 1), (1_000, 30, 1), (1_000, 100, 2)])
def test_large_submissions_of_one_keep_nobody_else_out(rate: int, bulks: int, calm: int) -> None:
    platform = Platform(rate)
    platform.run({"calm": calm, "flood": bulks}, 15, sizes={"flood": 100})
    begun_s = platform.wait_s
    platform.run({"calm": calm, "flood": bulks}, 105, sizes={"flood": 100})
    assert platform.refused["flood"] > 120
    assert not platform.refused["calm"]
    assert platform.wait_s < begun_s


def test_a_crowd_that_comes_again_is_known_and_one_much_later_is_not() -> None:
    backlog = Backlog(MOST_S)
    for at in (0.0, PATIENCE_S):
        backlog.see(LATE, MANY, at)
    backlog.took("a", 10_000, PATIENCE_S)
    assert backlog.refusal("a", PATIENCE_S) is not None
    backlog.see(Behind(), 0, PATIENCE_S + 1)
    assert not backlog.standing
    backlog.see(LATE, MANY, PATIENCE_S + 2)
    assert backlog.standing, "at once"
    backlog.see(Behind(), 0, PATIENCE_S + 3)
    backlog.see(LATE, MANY, PATIENCE_S + REMEMBERED_S + 1)
    assert not backlog.standing
    backlog.see(LATE, MANY, 2 * PATIENCE_S + REMEMBERED_S + 1)
    assert backlog.standing


def test_what_is_owed_is_of_whoever_took_it_and_is_over_with_the_wait() -> None:
    backlog = Backlog(MOST_S)
    for at in (0.0, PATIENCE_S):
        backlog.see(Behind(9.0, 2 * LEAST), MANY, at)
    backlog.took("a", 10_000, 100.0)
    assert backlog.refusal("a", 100.0) is not None
    assert [backlog.refusal("b", 100.0 + step) for step in range(20)] == [None] * 20
    backlog.see(Behind(), 0, 130.0)
    for at in (131.0, 131.0 + PATIENCE_S):
        backlog.see(Behind(9.0, 2 * LEAST), MANY, at)
    assert backlog.standing
    assert backlog.refusal("a", 137.0) is None


def test_many_that_owe_keep_nobody_out_who_took_nothing() -> None:
    backlog = Backlog(MOST_S)
    for at in (0.0, PATIENCE_S):
        backlog.see(Behind(9.0, 2 * LEAST), MANY, at)
    for number in range(200):
        backlog.took(f"bulk-{number}", 100, 100.0)
    for step in range(1, 20):
        assert [backlog.refusal(f"new-{step}-{n}", 100.0 + step) for n in range(5)] == [None] * 5
        for n in range(5):
            backlog.took(f"new-{step}-{n}", 1, 100.0 + step)
        assert backlog.refusal(f"bulk-{step}", 100.0 + step) is not None


def test_what_brings_nothing_in_the_end_is_no_credit() -> None:
    backlog = Backlog(MOST_S)
    for at in (0.0, PATIENCE_S):
        backlog.see(Behind(9.0, LEAST / CALM_PART), MANY, at)
    for _ in range(50):
        backlog.took("a", 1, 100.0)
    for _ in range(50):
        backlog.took("a", -1, 101.0)
    let_in = 0
    while backlog.refusal("a", 101.0) is None:
        backlog.took("a", 1, 101.0)
        let_in += 1
    assert let_in == LEAST
    for number in range(200):
        backlog.took(f"t{number}", 1, 102.0)
        backlog.took(f"t{number}", -1, 102.0)
    assert backlog.refusal("new", 102.0) is None


def test_one_that_is_given_up_leaves_its_place() -> None:
    backlog = Backlog(MOST_S)
    for at in (0.0, PATIENCE_S):
        backlog.see(Behind(9.0, LEAST / CALM_PART), MANY, at)
    backlog.took("a", round(LEAST), 100.0)
    assert backlog.refusal("a", 100.0) is not None
    backlog.forgo("a")
    assert backlog.refusal("a", 100.0) is None
    backlog.forgo("b")
    backlog.took("a", 1, 100.0)
    assert backlog.refusal("a", 100.0) is not None


def test_a_large_submission_is_owed_by_the_steps_after_it() -> None:
    backlog = Backlog(MOST_S)
    for at in (0.0, PATIENCE_S):
        backlog.see(Behind(9.0, LEAST / CALM_PART), MANY, at)
    assert backlog.refusal("a", 100.0) is None
    backlog.took("a", round(3 * LEAST), 100.0)
    assert [backlog.refusal("a", 100.0 + step) is None for step in range(4)] == [False, False, False, True]


@given(st.integers(1, 8), st.floats(0, 10_000))
def test_processes_share_what_may_come_in(processes: int, rate: float) -> None:
    backlogs = [Backlog(MOST_S, processes) for _ in range(processes)]
    let_in = 0
    for backlog in backlogs:
        for at in (0.0, PATIENCE_S):
            backlog.see(Behind(9.0, rate), MANY, at)
        while backlog.refusal("a", 60.0) is None:
            backlog.took("a", 1, 60.0)
            let_in += 1
    most = max(LEAST, CALM_PART * rate)
    assert most <= let_in < most + processes


def test_where_no_more_is_asked_than_can_be_done_nobody_is_refused_while_it_catches_up() -> None:
    backlog = Backlog(MOST_S)
    for at in (0.0, PATIENCE_S):
        backlog.see(Behind(9.0, 1_000), MANY, at)

    def let_in(asked: int, at: float) -> int:
        count = 0
        for _ in range(asked):
            if backlog.refusal("a", at) is None:
                backlog.took("a", 1, at)
                count += 1
        return count

    assert [let_in(700, at) for at in (100.0, 101.0)] == [700, 700]
    assert let_in(3_000, 102.0) == CALM_PART * 1_000
    assert [let_in(3_000, at) for at in (103.0, 104.0)] == [PART * 1_000] * 2, "a crowd is told apart by the last step"
    assert let_in(700, 105.0) == PART * 1_000
    assert let_in(700, 106.0) == 700


def test_a_pace_is_told_once_a_second() -> None:
    pace = Pace(slots=4)
    assert pace.take(0, 10.0) is None
    for waited in (3_000, 5_000, 4_000):
        pace.waited(waited)
    assert pace.take(100, 10.5) is None
    assert pace.take(100, 12.0) == Behind(4.0, 100.0)
    assert pace.take(50, 13.0) == Behind(0.0, 50.0), "each second anew"


@pytest.mark.parametrize(("ran_ms", "wait_s"), [(900, 7.0), (1_100, 0.0)])
def test_jobs_that_wait_for_slots_do_not_wait_for_the_platform(ran_ms: int, wait_s: float) -> None:
    pace = Pace(slots=4)
    pace.take(0, 0.0)
    for _ in range(2):
        pace.waited(7_000)
        pace.ran(ran_ms)
    assert pace.take(2, 1.0) == Behind(wait_s, 2.0)


def test_several_that_settle_are_behind_as_the_last_of_them() -> None:
    assert together([]) == Behind(0.0, 0.0)
    assert together([Behind(2.0, 100.0), Behind(7.0, 50.0)]) == Behind(7.0, 150.0)


def test_only_a_wait_is_worth_telling_and_that_it_is_over() -> None:
    none, some = Behind(0.2, 10.0), Behind(3.0, 10.0)
    assert [worth_telling(now, told) for now, told in [(none, none), (some, none), (none, some)]] == [False, True, True]

"""Thresholds: how they are written, what they measure, and when they cannot hold any more."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.zjops.load.made import MS, run, scenario, steady, tick
from zjops.domain.errors import UsageError
from zjops.domain.indicators import Indicator
from zjops.load.histogram import Histogram
from zjops.load.measured import Measured
from zjops.load.scenario import Phase, shipped
from zjops.load.thresholds import After, hopeless, judge, of_objective, of_scenario, parse, tightest_ms
from zjops.slo.catalogue import objectives_of
from zjops.slo.model import Objective


@pytest.mark.parametrize(
    ("text", "metric", "argument", "comparison", "bound"),
    [
        ("p(99)<200", "p", 99, "<", 200), ("p(99.9)<=500", "p", 99.9, "<=", 500), ("avg < 20.5", "avg", 0, "<", 20.5),
        ("max<1000", "max", 0, "<", 1000), ("accepted>=99.9%", "accepted", 0, ">=", 0.999),
        ("errors<0.1%", "errors", 0, "<", 0.001), ("within(300)>=95%", "within", 300, ">=", 0.95),
        ("jobs_per_s>=2500", "jobs_per_s", 0, ">=", 2500), ("final_within_s<60", "final_within_s", 0, "<", 60),
        ("healthy_within_s<10", "healthy_within_s", 0, "<", 10),
        ("submit:p(99)<=200", "p", 99, "<=", 200),
    ],
)  # fmt: skip
def test_a_threshold_is_read(text: str, metric: str, argument: float, comparison: str, bound: float) -> None:
    found = parse(text)
    assert (found.metric, found.argument, found.comparison) == (metric, argument, comparison)
    assert found.bound == pytest.approx(bound)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not written like"), ("p(9.9.9)<200", "not written like"), ("p(.)<200", "not written like"),
        ("p99<200", "not written like"), ("p(99)=200", "not written like"),
        ("p(99)<", "not written like"), ("p<200", "a number in brackets"), ("avg(5)<200", "no brackets"),
        ("p(0)<200", "above 0"), ("p(101)<200", "above 0"), ("speed<5", "there is no speed"),
        ("accepted>=0.999", "write it with %"), ("p(99)<20%", "is no share"), ("gone:p(99)<5", "there is no gone"),
        ("raised(99)<=1.5", "of one phase"), ("final:accepted>=9%", "a hop has"),
        ("submit:jobs_per_s>5", "of the whole run"),
    ],
)  # fmt: skip
def test_what_is_no_threshold_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why.replace("(", r"\(")):
        parse(text)


def test_a_hop_belongs_to_the_whole_run() -> None:
    with pytest.raises(UsageError, match="hops are of the whole run"):
        parse("final:p(95)<5", 1)


def test_latency_is_of_what_was_accepted_or_not_answered() -> None:
    slow = tick(2, times_ms=[5.0] * 98 + [5_000.0] * 2, timeouts=2, accepted=98)
    judged = {one.threshold.text: one for one in judge(
        [parse(text) for text in ("p(50)<10", "p(99)<200", "within(300)>=99.9%", "timeouts<1%", "accepted>=99%")],
        run(slow), None,
    )}  # fmt: skip
    assert judged["p(50)<10"].ok
    assert judged["p(99)<200"].value == pytest.approx(5_000, rel=0.001)
    assert judged["within(300)>=99.9%"].value == 1.0
    assert judged["timeouts<1%"].value == pytest.approx(0.02)
    assert judged["accepted>=99%"].value == pytest.approx(0.98)


def test_shedding_counts_against_availability_when_it_is_the_servers_fault() -> None:
    measured = run(tick(2, accepted=90, shed=10, server_errors=4))
    ((available,), (shed,)) = ([*judge([parse(text)], measured, None)] for text in ("available>=99%", "shed<1%"))
    assert available.value == pytest.approx(0.96)
    assert shed.value == pytest.approx(0.10)


def test_the_warm_up_is_measured_and_not_judged() -> None:
    measured = run(tick(0, phase=0, times_ms=[900.0] * 50), tick(2))
    (judged,) = judge([parse("p(99)<200")], measured, None)
    assert judged.ok
    assert measured.phase(0).latency.ms(50) == pytest.approx(900, rel=0.001)


def test_one_kind_of_request_has_thresholds_of_its_own() -> None:
    measured = run(tick(2), tick(2, op="list", times_ms=[80.0] * 10))
    (judged,) = judge([parse("list:p(99)<50")], measured, None)
    assert judged.value == pytest.approx(80, rel=0.001)
    assert not judged.ok


def test_a_percentile_is_compared_with_that_of_the_first_phase_that_counts() -> None:
    phases = tuple(Phase(name=name, duration_s=2, rate=100, warmup=name == "a") for name in ("a", "b", "c"))
    ticks = [tick(2 * phase, phase=phase, times_ms=[ms] * 100) for phase, ms in ((0, 1.0), (1, 10.0), (2, 14.0))]
    flood = tick(4, phase=2, op="flood", times_ms=[900.0] * 500)
    measured = run(*ticks, flood, of=scenario(phases=phases))
    texts = ("submit:raised(99)<=1.5", "submit:raised(50)<=1.3", "raised(99)<=1.5", "list:raised(99)<=1.5")
    close, slow, all_of_them, none = judge([parse(text, 2) for text in texts], measured, None)
    assert close.value == pytest.approx(1.4, rel=0.01)
    assert close.ok
    assert not slow.ok
    assert all_of_them.value == pytest.approx(90, rel=0.01)
    assert none.value is None
    assert hopeless([parse("raised(99)<=1.5", 2)], measured) is None, "it is known at the end"


def test_what_was_not_measured_did_not_hold() -> None:
    (judged,) = judge([parse("list:p(99)<50")], run(tick(2)), None)
    assert (judged.value, judged.ok) == (None, False)


def test_hops_are_judged_when_the_jobs_have_ended() -> None:
    thresholds = [parse("final:p(95)<15000"), parse("final_within_s<60"), parse("jobs_per_s>=100")]
    assert judge(thresholds, run(), None) == []
    after = After({"final": Histogram.of([8_000 * MS] * 20)}, {"final_within_s": 9.0, "jobs_per_s": None})
    assert [one.ok for one in judge(thresholds, run(), after)] == [True, True, False]


class TestHopeless:
    """Early, and never too early."""

    def test_a_percentile_is_lost_once_more_are_slow_than_may_be_of_all(self) -> None:
        threshold = [parse("p(90)<100")]
        # Of 1,000 that are planned 100 may be slow, and by chance a few more may come than are planned.
        few = [tick(second, times_ms=[500.0] * 40) for second in (2, 3)]
        assert hopeless(threshold, run(*few)) is None
        many = [tick(second, times_ms=[500.0] * 40) for second in (2, 3, 4)]
        assert hopeless(threshold, run(*many)) is threshold[0]

    @pytest.mark.parametrize(
        ("text", "counts", "lost"),
        [
            ("accepted>=99%", {"accepted": 50, "shed": 50}, True),
            ("accepted>=99%", {"accepted": 95, "shed": 5}, False),
            ("failed<0.1%", {"accepted": 90, "shed": 10}, False),
            ("failed<0.1%", {"accepted": 90, "dropped": 10}, True),
            ("errors<0.1%", {"accepted": 90, "errors": 10}, True), ("errors<0.1%", {}, False),
            ("available>=99.9%", {"accepted": 90, "server_errors": 10, "errors": 10}, True),
            ("shed<5%", {"accepted": 0, "shed": 100}, True), ("accepted<1%", {}, False),
        ],
    )  # fmt: skip
    def test_a_share(self, text: str, counts: dict[str, int], lost: bool) -> None:
        assert (hopeless([parse(text)], run(tick(2, **counts))) is not None) == lost

    def test_timeouts_are_no_answers_that_came_late(self) -> None:
        late = [tick(second, times_ms=[5.0] * 90 + [5_000.0] * 10, timeouts=10, accepted=90) for second in range(2, 12)]
        (judged,) = judge([parse("within(300)>=95%")], run(*late), None)
        assert judged.ok
        assert hopeless([judged.threshold], run(*late)) is None
        slow = [tick(second, times_ms=[5.0] * 80 + [900.0] * 20) for second in range(2, 12)]
        assert hopeless([judged.threshold], run(*slow)) is not None

    def test_the_worst_of_all_is_lost_at_once(self) -> None:
        assert hopeless([parse("max<100")], run(tick(2, times_ms=[150.0]))) is not None
        assert hopeless([parse("max<200")], run(tick(2, times_ms=[150.0]))) is None

    def test_what_comes_after_the_run_is_never_lost_before(self) -> None:
        assert hopeless([parse("final:p(95)<1"), parse("jobs_per_s>=9999")], run(tick(2))) is None


def test_objectives_become_thresholds() -> None:
    def objective(indicator: Indicator) -> Objective:
        return Objective("slo", "", indicator, "all", 999_000, 43_200, ())

    assert of_objective(objective(Indicator("availability"))).text == "available>=99.9%"
    assert of_objective(objective(Indicator("latency", 300))).text == "within(300)>=99.9%"
    assert of_objective(objective(Indicator("confirmation", 60_000))).text == "final:within(60000)>=99.9%"
    with pytest.raises(UsageError, match="cannot be judged"):
        of_objective(objective(Indicator("job-success")))


def test_an_slo_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="there is no SLO quick; there are"):
        of_scenario(run(of=scenario(slos=("quick",))), objectives_of())


@pytest.mark.parametrize(
    ("text", "timeout_s"),
    [
        ("p(99)<5000", 5), ("p(99)<6000", 5), ("max<=5000", 5), ("avg<9000", 5), ("within(2000)>=95%", 1),
        ("submit:p(50)<5000", 5), ("p(99)<200", 0.1), ("p(99)<4999", 5),
    ],
    ids=["at it", "above it", "the worst", "the mean", "a share", "of one kind", "far above it", "in the same bucket"],
)  # fmt: skip
def test_a_time_that_a_request_does_not_have_is_refused(text: str, timeout_s: float) -> None:
    main = Phase(name="main", duration_s=10, rate=100)
    for asked in (
        scenario(thresholds=(text,), timeout_s=timeout_s, slos=()),
        scenario(phases=(msgspec.structs.replace(main, thresholds=(text,)),), timeout_s=timeout_s, slos=()),
    ):
        with pytest.raises(UsageError, match=r"scenario made: .* and requests are given up after timeout_s = "):
            of_scenario(Measured(asked), objectives_of())


def test_so_is_an_slo_that_asks_for_one() -> None:
    with pytest.raises(UsageError, match=r"within\(500\)>=99% \(SLO latency-500ms\) asks for 500 ms"):
        of_scenario(Measured(scenario(timeout_s=0.4, slos=("availability", "latency-500ms"))), objectives_of())


@pytest.mark.parametrize(
    "text", ["p(99)<4900", "within(4900)>=95%", "told:p(99)<9000", "final:p(95)<15000", "final_within_s<60"]
)
def test_what_was_given_up_is_never_in_time(text: str) -> None:
    asked = scenario(thresholds=(text,), timeout_s=5, slos=())
    (threshold,) = of_scenario(Measured(asked), objectives_of())
    if threshold.latency_ms is not None and threshold.scope != "told":
        # As many slow ones as were given up: these do not stand for those.
        few = tick(2, times_ms=[5.0] * 80 + [4_950.0] * 10 + [4_999.999] * 10, timeouts=10, accepted=90)
        assert not judge([threshold], run(few, of=asked), None)[0].ok


def test_the_tightest_time_of_a_phase() -> None:
    thresholds = [parse("p(99)<200"), parse("p(50)<25", 1), parse("within(300)>=95%"), parse("final:p(95)<5")]
    assert tightest_ms(thresholds, 1) == 25
    assert tightest_ms(thresholds, 0) == 200
    assert tightest_ms([parse("errors<1%")], 0) is None


@pytest.mark.parametrize("name", list(shipped()))
def test_every_shipped_scenario_can_be_judged(name: str) -> None:
    measured = run(*steady(), of=shipped()[name])
    found = of_scenario(measured, objectives_of())
    assert any(one.source.startswith("SLO") for one in found) == bool(shipped()[name].slos)
    assert any(one.source == "scenario" for one in found)

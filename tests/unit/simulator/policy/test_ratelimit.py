from hypothesis import given
from hypothesis import strategies as st

from simulator.policy.ratelimit import Bucket, take


@given(
    st.floats(0.2, 500), st.integers(1, 1000), st.lists(st.integers(-50, 3_000), min_size=1, max_size=200),
)  # fmt: skip
def test_never_more_pass_than_rate_times_time_plus_burst(rate: float, capacity: int, steps: list[int]) -> None:
    bucket: Bucket | None = None
    now = lowest = highest = 1_000_000
    passed = 0
    for step in steps:
        now += step
        lowest, highest = min(lowest, now), max(highest, now)
        bucket, decision = take(bucket, rate, capacity, now)
        passed += decision.allowed
        assert decision.allowed or decision.retry_after_s >= 1
    assert passed <= rate * (highest - lowest) / 1000 + capacity + 1e-6


@given(st.floats(0.2, 500), st.integers(1, 50))
def test_whoever_waits_as_told_passes(rate: float, capacity: int) -> None:
    bucket, now = None, 0
    for _ in range(capacity + 1):
        bucket, decision = take(bucket, rate, capacity, now)
    assert not decision.allowed
    assert take(bucket, rate, capacity, now + decision.retry_after_s * 1000)[1].allowed

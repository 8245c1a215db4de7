"""What job code computes, against values known from elsewhere or computed here another way."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import pytest

from simulator.worker.handlers import HANDLERS, synthetic, validate
from simulator.worker.handlers.base import ParameterFault
from simulator.worker.handlers.ml_inference import load_model, samples, train
from zjops.domain.jobs import OutcomeKind


def _compute(job_type: str, **parameters: Any) -> Any:
    assert validate(job_type, parameters) == []
    return HANDLERS[job_type][parameters["algorithm"]].run(parameters, lambda percent: None)


@pytest.mark.parametrize(
    ("limit", "count", "largest", "total"),
    [(2, 1, 2, 2), (10, 4, 7, 17), (100, 25, 97, 1060), (1_000_000, 78_498, 999_983, 37_550_402_023)],
)
def test_primes(limit: int, count: int, largest: int, total: int) -> None:
    found = _compute("compute_heavy", algorithm="prime_sieve", limit=limit)
    assert found == {"count": count, "largest": largest, "sum": total}


def test_a_product_of_matrices() -> None:
    a, b = [[1, 2, 3], [4, 5, 6]], [[7, 8], [9, 10], [11, 12]]
    found = _compute("compute_heavy", algorithm="matrix_multiply", a=a, b=b)
    assert found["product"] == [[58, 64], [139, 154]]
    assert found["trace"] == 58 + 154
    assert found["sha256"] == hashlib.sha256(b"58,64;139,154").hexdigest()


def test_a_seed_gives_the_same_matrices_again() -> None:
    first, second, other = (
        _compute("compute_heavy", algorithm="matrix_multiply", size=12, seed=seed) for seed in (5, 5, 6)
    )
    assert first == second != other
    assert "product" not in first


def test_an_aggregate() -> None:
    rows = [{"city": "a", "n": 1}, {"city": "b", "n": 10}, {"city": "a", "n": 3}]
    metrics = [{"column": "n", "function": name} for name in ("sum", "count", "min", "max", "avg")]
    found = _compute("data_processing", algorithm="aggregate", rows=rows, group_by="city", metrics=metrics)
    assert found["groups"] == [
        {"group": "a", "sum_n": 4, "count_n": 2, "min_n": 1, "max_n": 3, "avg_n": 2},
        {"group": "b", "sum_n": 10, "count_n": 1, "min_n": 10, "max_n": 10, "avg_n": 10},
    ]


def test_generated_rows_add_up_in_any_grouping() -> None:
    made = {"rows": 500, "seed": 4, "groups": 7}
    metrics = [{"column": "weight", "function": "sum"}, {"column": "weight", "function": "count"}]
    found = _compute("data_processing", algorithm="aggregate", generate=made, group_by="group", metrics=metrics)
    assert found["rows"] == 500 == sum(group["count_weight"] for group in found["groups"])
    assert len(found["groups"]) == 7


@pytest.mark.parametrize(("how", "count"), [("inner", 2), ("left", 3)])
def test_a_join(how: str, count: int) -> None:
    left = [{"id": 1, "a": "x"}, {"id": 2, "a": "y"}]
    right = [{"id": 1, "b": 5}, {"id": 1, "b": 6}]
    found = _compute("data_processing", algorithm="join", left=left, right=right, on="id", how=how)
    assert found["count"] == count
    assert found["rows"][:2] == [{"id": 1, "a": "x", "b": 5}, {"id": 1, "a": "x", "b": 6}]


def test_a_column_that_is_not_there_is_the_clients_fault() -> None:
    metrics = [{"column": "n", "function": "sum"}]
    with pytest.raises(ParameterFault, match="city"):
        _compute("data_processing", algorithm="aggregate", rows=[{"n": 1}], group_by="city", metrics=metrics)
    with pytest.raises(ParameterFault, match="not a number"):
        _compute("data_processing", algorithm="aggregate", rows=[{"g": 1, "n": "x"}], group_by="g", metrics=metrics)


def test_the_committed_model_is_what_training_gives_and_it_knows_its_classes() -> None:
    model = load_model()
    assert train() == model
    fresh = samples(99, 90)
    found = _compute("ml_inference", algorithm="classify", features=[x for x, _ in fresh])
    right = [p["class"] == model["classes"][label] for p, (_, label) in zip(found["predictions"], fresh, strict=True)]
    assert sum(right) >= 85
    for prediction in found["predictions"]:
        assert math.isclose(sum(prediction["probabilities"]), 1, abs_tol=1e-5)


@pytest.mark.parametrize(
    ("job_type", "parameters", "pointer"),
    [
        ("compute_heavy", {"algorithm": "prime_sieve", "limit": 10**12}, "#/parameters/limit"),
        ("compute_heavy", {"algorithm": "prime_sieve", "limit": "7"}, "#/parameters/limit"),
        ("compute_heavy", {"algorithm": "prime_sieve", "limit": 7, "more": 1}, "#/parameters/more"),
        ("compute_heavy", {"algorithm": "matrix_multiply", "size": 10**6}, "#/parameters/size"),
        ("compute_heavy", {"algorithm": "matrix_multiply", "a": [[1, 2]], "b": [[1]]}, "#/parameters/b"),
        ("compute_heavy", {"algorithm": "aggregate"}, "#/parameters/algorithm"),
        ("compute_heavy", {}, "#/parameters/algorithm"),
        ("data_processing", {"algorithm": "join", "left": [], "right": []}, "#/parameters/on"),
        ("ml_inference", {"algorithm": "classify", "features": [[1, 2]]}, "#/parameters/features/0"),
        ("ml_inference", {"algorithm": "classify", "features": [[1] * 4] * 10**6}, "#/parameters/features"),
        ("ml_inference", {"algorithm": "synthetic", "duration_ms": -1}, "#/parameters/duration_ms"),
        ("ml_inference", {"algorithm": "synthetic", "failure": {"kind": "x"}}, "#/parameters/failure"),
    ],
)
def test_what_could_take_the_machine_is_refused_by_name(
    job_type: str, parameters: dict[str, Any], pointer: str
) -> None:
    assert pointer in [error.pointer for error in validate(job_type, parameters)]


def test_synthetic_durations_and_failures_follow_their_distribution() -> None:
    parameters = {
        "algorithm": "synthetic", "duration_ms": {"distribution": "exponential", "mean": 100},
        "failure": {"kind": "failed", "probability": 0.25}, "seed": 1,
    }  # fmt: skip
    plans = [synthetic.plan(parameters, f"job_{n}", 1) for n in range(2_000)]
    mean_ms = 1000 * sum(plan.duration_s for plan in plans) / len(plans)
    share = sum(plan.failure is OutcomeKind.FAILED for plan in plans) / len(plans)
    assert 90 < mean_ms < 110
    assert 0.21 < share < 0.29
    assert plans[:20] == [synthetic.plan(parameters, f"job_{n}", 1) for n in range(20)]

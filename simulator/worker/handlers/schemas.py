"""JSON Schemas of what the handlers accept, one a job type and algorithm, for the contract.

What a schema cannot say (rows as many as columns, the same length for all) is left to the handlers' own check.
"""

from __future__ import annotations

from typing import Any

from simulator.worker.handlers import compute_heavy, data_processing, ml_inference, synthetic
from zjops.domain.jobs import DEFAULT_PRIORITY, DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S, MIN_TIMEOUT_S, JobType
from zjops.domain.wire import URL_PATTERN

Schema = dict[str, Any]
LARGE = 2**53


def _integer(low: int, high: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def _number(high: float = 999_999_999_999_999) -> Schema:
    return {"type": "number", "minimum": -high, "maximum": high}


def _object(required: list[str], **properties: Any) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _algorithm(name: str, required: list[str], **properties: Any) -> Schema:
    return _object(["algorithm", *required], algorithm={"type": "string", "const": name}, **properties)


_SEED = _integer(0, LARGE)
_SCALAR = {"type": ["string", "number", "null"]}
_ROWS = {"type": "array", "minItems": 1, "maxItems": data_processing.MAX_INLINE_ROWS,
         "items": {"type": "object", "additionalProperties": _SCALAR}}  # fmt: skip
_GENERATE = _object(["rows"], rows=_integer(1, data_processing.MAX_GENERATED_ROWS), seed=_SEED,
                    groups=_integer(1, 1000))  # fmt: skip
_METRICS = {"type": "array", "minItems": 1, "maxItems": 20, "items": _object(
    ["column", "function"], column={"type": "string"},
    function={"type": "string", "enum": list(data_processing.FUNCTIONS)})}  # fmt: skip
_SYNTHETIC = _algorithm(
    synthetic.NAME, [],
    duration_ms={"type": "number", "minimum": 0, "maximum": synthetic.MAX_DURATION_MS}, seed=_SEED,
    failure=_object(["kind"], kind={"type": "string", "enum": ["retry", "failed", "client_fault"]},
                    probability={"type": "number", "minimum": 0, "maximum": 1}),
    result_bytes=_integer(0, synthetic.MAX_RESULT_BYTES),
)  # fmt: skip

PARAMETERS: dict[str, dict[str, Schema]] = {
    JobType.COMPUTE_HEAVY.value: {
        "matrix_multiply": _algorithm("matrix_multiply", ["size"], size=_integer(1, compute_heavy.MAX_SIZE),
                                      seed=_SEED),
        "prime_sieve": _algorithm("prime_sieve", ["limit"], limit=_integer(2, compute_heavy.MAX_LIMIT)),
        synthetic.NAME: _SYNTHETIC,
    },
    JobType.DATA_PROCESSING.value: {
        "aggregate": _algorithm("aggregate", ["generate", "group_by", "metrics"], generate=_GENERATE,
                                group_by={"type": "string"}, metrics=_METRICS),
        "join": _algorithm("join", ["left", "right", "on"], left=_ROWS, right=_ROWS, on={"type": "string"},
                           how={"type": "string", "enum": ["inner", "left"]}),
        synthetic.NAME: _SYNTHETIC,
    },
    JobType.ML_INFERENCE.value: {
        "classify": _algorithm("classify", ["features"], features={
            "type": "array", "minItems": 1, "maxItems": ml_inference.MAX_SAMPLES,
            "items": {"type": "array", "minItems": ml_inference.FEATURES, "maxItems": ml_inference.FEATURES,
                      "items": _number()}}),
        synthetic.NAME: _SYNTHETIC,
    },
}  # fmt: skip


def _submission(job_type: str, parameters: dict[str, Schema]) -> Schema:
    return _object(
        ["jobType", "parameters"],
        jobType={"type": "string", "const": job_type},
        parameters={"oneOf": list(parameters.values())},
        priority=_integer(0, 10) | {"default": DEFAULT_PRIORITY},
        timeoutSeconds=_integer(MIN_TIMEOUT_S, MAX_TIMEOUT_S) | {"default": DEFAULT_TIMEOUT_S},
        callbackUrl={"anyOf": [{"type": "string", "format": "uri", "maxLength": 2048,
                                "pattern": URL_PATTERN},
                               {"type": "null"}]},
        metadata={"anyOf": [{"type": "object"}, {"type": "null"}]},
    ) | {"title": f"Submit {job_type}"}  # fmt: skip


SUBMISSIONS: Schema = {
    "description": "A job to run (R3-R6). The parameters depend on the type and the algorithm.",
    "oneOf": [_submission(job_type, parameters) for job_type, parameters in PARAMETERS.items()],
}

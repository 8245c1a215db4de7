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


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_SEED = _integer(0, LARGE)
_SCALAR = {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]}
_ROWS = {"type": "array", "minItems": 1, "maxItems": data_processing.MAX_INLINE_ROWS, "items": _ref("Row")}
_METRICS = {"type": "array", "minItems": 1, "maxItems": 20, "items": _ref("Metric")}

PARTS: dict[str, Schema] = {
    "Row": {"type": "object", "additionalProperties": _SCALAR},
    "GeneratedRows": _object(
        ["rows"], rows=_integer(1, data_processing.MAX_GENERATED_ROWS), seed=_SEED, groups=_integer(1, 1000)
    ),
    "Metric": _object(
        ["column", "function"], column={"type": "string"},
        function={"type": "string", "enum": list(data_processing.FUNCTIONS)},
    ),
    "SyntheticFailure": _object(
        ["kind"], kind={"type": "string", "enum": ["retry", "failed", "client_fault"]},
        probability={"type": "number", "minimum": 0, "maximum": 1},
    ),
    "Synthetic": _algorithm(
        synthetic.NAME, [], duration_ms={"type": "number", "minimum": 0, "maximum": synthetic.MAX_DURATION_MS},
        seed=_SEED, failure=_ref("SyntheticFailure"), result_bytes=_integer(0, synthetic.MAX_RESULT_BYTES),
    ),
    "MatrixMultiply": _algorithm(
        "matrix_multiply", ["size"], size=_integer(1, compute_heavy.MAX_SIZE), seed=_SEED
    ),
    "PrimeSieve": _algorithm("prime_sieve", ["limit"], limit=_integer(2, compute_heavy.MAX_LIMIT)),
    "Aggregate": _algorithm(
        "aggregate", ["generate", "group_by", "metrics"], generate=_ref("GeneratedRows"),
        group_by={"type": "string"}, metrics=_METRICS,
    ),
    "Join": _algorithm(
        "join", ["left", "right", "on"], left=_ROWS, right=_ROWS, on={"type": "string"},
        how={"type": "string", "enum": ["inner", "left"]},
    ),
    "Classify": _algorithm("classify", ["features"], features={
        "type": "array", "minItems": 1, "maxItems": ml_inference.MAX_SAMPLES,
        "items": {"type": "array", "minItems": ml_inference.FEATURES, "maxItems": ml_inference.FEATURES,
                  "items": _number()}}),
}  # fmt: skip
"""The parameters of each algorithm, and what they are made of, as components of the document."""

ALGORITHMS: dict[str, tuple[str, ...]] = {
    JobType.COMPUTE_HEAVY.value: ("MatrixMultiply", "PrimeSieve", "Synthetic"),
    JobType.DATA_PROCESSING.value: ("Aggregate", "Join", "Synthetic"),
    JobType.ML_INFERENCE.value: ("Classify", "Synthetic"),
}


def _title(job_type: str) -> str:
    return "Submit" + "".join(part.capitalize() for part in job_type.split("_"))


def _submission(job_type: str) -> Schema:
    return _object(
        ["jobType", "parameters"],
        jobType={"type": "string", "const": job_type},
        parameters={"oneOf": [_ref(name) for name in ALGORITHMS[job_type]]},
        priority=_integer(0, 10) | {"default": DEFAULT_PRIORITY},
        timeoutSeconds=_integer(MIN_TIMEOUT_S, MAX_TIMEOUT_S) | {"default": DEFAULT_TIMEOUT_S},
        callbackUrl={"anyOf": [{"type": "string", "format": "uri", "maxLength": 2048, "pattern": URL_PATTERN},
                               {"type": "null"}]},
        metadata={"anyOf": [_ref("JobMetadata"), {"type": "null"}]},
    )  # fmt: skip


COMPONENTS: dict[str, Schema] = {
    **PARTS,
    "JobMetadata": {"type": "object", "description": "Anything that the tenant wants to find again with the job."},
    **{_title(job_type): _submission(job_type) for job_type in ALGORITHMS},
    "SubmitRequest": {
        "description": "A job to run (R3-R6). The parameters depend on the type and the algorithm.",
        "oneOf": [_ref(_title(job_type)) for job_type in ALGORITHMS],
    },
}

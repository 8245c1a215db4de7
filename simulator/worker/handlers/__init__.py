"""The job types: one file each, and the synthetic algorithm that all of them have."""

from __future__ import annotations

from simulator.worker.handlers import compute_heavy, data_processing, ml_inference, synthetic
from simulator.worker.handlers.base import Handler, Parameters
from zjops.domain.errors import FieldError
from zjops.domain.jobs import JobType

HANDLERS: dict[str, dict[str, Handler]] = {
    JobType.COMPUTE_HEAVY.value: compute_heavy.HANDLERS,
    JobType.DATA_PROCESSING.value: data_processing.HANDLERS,
    JobType.ML_INFERENCE.value: ml_inference.HANDLERS,
}


def validate(job_type: str, parameters: Parameters) -> list[FieldError]:
    """Everything that is wrong with a job's parameters, each with its pointer."""
    known = HANDLERS[job_type]
    algorithm = parameters.get("algorithm")
    if algorithm == synthetic.NAME:
        return synthetic.validate(parameters)
    if not isinstance(algorithm, str) or algorithm not in known:
        names = ", ".join([*known, synthetic.NAME])
        return [FieldError("#/parameters/algorithm", f"must be one of {names}")]
    return known[algorithm].validate(parameters)

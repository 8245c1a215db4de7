"""`ml_inference`: softmax regression with committed weights, on inline features.

The weights in `model.json` come from `train`, which anyone can run again: seeded clusters, plain gradient descent.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import math
import random
from typing import Any

from simulator.worker.handlers.base import Handler, Parameters, Progress, at, check_known, is_number
from zjops.domain.errors import FieldError

FEATURES = 4
MAX_SAMPLES = 1_000
CLASSES = ("alpha", "beta", "gamma")
CENTRES = ((5.0, 3.4, 1.5, 0.2), (5.9, 2.8, 4.3, 1.3), (6.6, 3.0, 5.6, 2.0))

Vector = list[float]
Model = dict[str, Any]


def samples(seed: int, count: int) -> list[tuple[Vector, int]]:
    """Seeded points around the centres, with their class."""
    source = random.Random(seed)  # noqa: S311 - reproducible data
    return [([source.gauss(c, 0.25) for c in CENTRES[i % 3]], i % 3) for i in range(count)]


def _probabilities(model: Model, x: Vector) -> Vector:
    scores = [b + sum(w * v for w, v in zip(row, x, strict=True)) for row, b in zip(*_parts(model), strict=True)]
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    return [power / sum(powers) for power in powers]


def _parts(model: Model) -> tuple[list[Vector], Vector]:
    return model["weights"], model["bias"]


def train(seed: int = 1, count: int = 300, rounds: int = 200, rate: float = 0.1) -> Model:
    """Fit the weights by gradient descent; rounded to six digits, so that the file is the same on every machine."""
    model: Model = {"weights": [[0.0] * FEATURES for _ in CLASSES], "bias": [0.0] * len(CLASSES)}
    data = samples(seed, count)
    for _ in range(rounds):
        for x, label in data:
            for k, p in enumerate(_probabilities(model, x)):
                slope = rate * ((1.0 if k == label else 0.0) - p) / 10
                model["bias"][k] += slope
                model["weights"][k] = [w + slope * v for w, v in zip(model["weights"][k], x, strict=True)]
    rounded = {"weights": [[round(w, 6) for w in row] for row in model["weights"]]}
    return rounded | {"bias": [round(b, 6) for b in model["bias"]], "classes": list(CLASSES), "version": "1"}


@functools.cache
def load_model() -> Model:
    """The committed weights."""
    model: Model = json.loads(importlib.resources.files(__package__).joinpath("model.json").read_text())
    return model


def _validate(parameters: Parameters) -> list[FieldError]:
    errors = check_known(parameters, "features")
    rows = parameters.get("features")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_SAMPLES:
        return [*errors, FieldError(at("features"), f"must be 1 to {MAX_SAMPLES} samples")]
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != FEATURES or not all(is_number(v) for v in row):
            return [*errors, FieldError(at(f"features/{index}"), f"must be {FEATURES} numbers")]
    return errors


def _classify(parameters: Parameters, progress: Progress) -> dict[str, Any]:
    model, predictions = load_model(), []
    for x in parameters["features"]:
        chances = _probabilities(model, x)
        best = max(range(len(chances)), key=chances.__getitem__)
        predictions.append({"class": model["classes"][best], "probabilities": [round(p, 6) for p in chances]})
    progress(100)
    return {"model": model["version"], "predictions": predictions}


HANDLERS = {"classify": Handler(_validate, _classify)}

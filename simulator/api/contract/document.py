"""The OpenAPI 3.1 document, made from the table of operations: nothing in it is written twice."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from simulator.api.contract.examples import SOMETIMES, header_examples, problem_example, submission_example
from simulator.api.contract.operation import JSON, Answer, Header, Operation
from simulator.api.contract.told import told_by_webhook
from simulator.gateway.headers import IDENTIFIED
from simulator.identity.roles import SCOPES
from simulator.worker.handlers.schemas import COMPONENTS
from zjops.domain.errors import PROBLEMS
from zjops.domain.wire_webhooks import WebhookBody

REF = "#/components/schemas/{name}"
JOB_ID = "^job_[1-9A-HJ-NP-Za-km-z]{16,22}$"
PATH_SCHEMAS: dict[str, dict[str, Any]] = {
    "jobId": {"type": "string", "pattern": JOB_ID},
    "tenantId": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,39}$"},
}
TAGS = {
    "jobs": "Submit, read, cancel and prove jobs.", "live": "Follow jobs as they go.",
    "webhooks": "Be told of jobs.", "billing": "Usage by day.", "admin": "What operators do.",
    "platform": "Health and documents.", "identity": "Tokens.",
}  # fmt: skip
RETRY = frozenset({"rate-limit-exceeded", "overage-limit-reached", "too-many-active-jobs", "address-banned",
                   "unavailable", "overloaded", "circuit-open"})  # fmt: skip


def build_document(operations: list[Operation], token_url: str) -> dict[str, Any]:
    """The document of these operations."""
    models = _models(operations)
    schemas, components = msgspec.json.schema_components(models, ref_template=REF)
    refs = dict(zip(map(repr, models), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, refs)
    for schema in components.values():
        if "description" in schema:
            # Up to Python 3.12 a docstring keeps its indentation, and what is indented is code to a reader of it.
            schema["description"] = inspect.cleandoc(schema["description"])
    components |= COMPONENTS
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Zama Jobs API", "version": "1.0.0",
            "description": "Long-running jobs over HTTP, each outcome recorded on an EVM chain. Errors are problem "
                           "documents (RFC 9457); times are RFC 3339 in UTC.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "webhooks": told_by_webhook(refs[repr(WebhookBody)]),
        "components": {
            "schemas": components | {"Problem": PROBLEM},
            "securitySchemes": {"oauth2": {"type": "oauth2", "flows": {
                "clientCredentials": {"tokenUrl": token_url, "scopes": SCOPES}}}},
            "headers": header_examples(),
            "responses": _shared(operations),
        },
    }  # fmt: skip


PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "A problem document (RFC 9457) with the design's members.",
    "properties": {
        "type": {"type": "string", "format": "uri"}, "title": {"type": "string"}, "status": {"type": "integer"},
        "detail": {"type": "string"}, "instance": {"type": "string"},
        "code": {"type": "string", "enum": sorted(PROBLEMS)},
        "trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "errors": {"type": "array", "items": {
            "type": "object",
            "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}, "field": {"type": "string"},
                           "message": {"type": "string"}},
            "required": ["pointer", "detail"]}},
        "violated-policies": {"type": "array", "items": {"type": "string"},
                              "description": "Which limits were reached, by their names in RateLimit-Policy."},
        "quota_details": {
            "type": "object",
            "properties": {"limit": {"type": "integer"}, "used": {"type": "integer"},
                           "overage_enabled": {"type": "boolean"}, "upgrade_url": {"type": "string"}},
        },
    },
    "required": ["type", "title", "status", "detail", "instance", "code", "trace_id"],
}  # fmt: skip


def _models(operations: list[Operation]) -> list[Any]:
    found: dict[str, Any] = {repr(WebhookBody): WebhookBody}
    for one in operations:
        answers = [*one.answers, *(one.errors or {}).values()]
        for model in [one.body, one.query, *(a.model for a in answers)]:
            if model is not None:
                found[repr(model)] = model
    return list(found.values())


def _operation(one: Operation, refs: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": one.id, "summary": one.summary, "description": one.description, "tags": [one.tag],
        "parameters": _parameters(one), "responses": _responses(one, refs),
        "security": [] if one.scope is None else [{"oauth2": [one.scope]}],
    }  # fmt: skip
    schema = one.body_schema if one.body is None else refs[repr(one.body)]
    if schema is not None:
        content: dict[str, Any] = {"schema": schema}
        if one.id == "submitJob":
            content["example"] = submission_example()
        found["requestBody"] = {"required": True, "content": {one.body_media: content}}
    return found


def _parameters(one: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True,
         "schema": PATH_SCHEMAS.get(name, {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,100}$"})}
        for name in one.parameters
    ]  # fmt: skip
    if one.query is not None:
        components = msgspec.json.schema_components([one.query], ref_template=REF)[1]
        properties = components[one.query.__name__]["properties"]
        required = components[one.query.__name__].get("required", [])
        found += [
            {"name": name, "in": "query", "required": name in required, "schema": _without_null(value)}
            for name, value in properties.items()
        ]
    found += [_header_parameter(header) for header in one.headers]
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter is left out, never null."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if not kinds:
        return schema
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _header_parameter(header: Header) -> dict[str, Any]:
    schema = {name: value for name, value in header.schema.items() if name != "example"}
    found = {"name": header.name, "in": "header", "required": header.required, "schema": schema,
             "description": header.description}  # fmt: skip
    return found | ({"example": header.schema["example"]} if "example" in header.schema else {})


def _responses(one: Operation, refs: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for answer in one.answers:
        found[str(answer.status)] = _good(one, answer, refs)
    for status, answer in (one.errors or {}).items():
        found[str(status)] = _good(one, answer, refs)
    for status, codes in _by_status(one).items():
        problem = _problem(status, codes)
        if str(status) in found:
            # The token endpoint's own errors and problem documents share a status.
            found[str(status)]["content"] |= problem["content"]
            continue
        found[str(status)] = {"$ref": f"#/components/responses/{response_name(status, codes)}"}
    return dict(sorted(found.items()))


def response_name(status: int, codes: list[str]) -> str:
    """The name of an answer that several operations share."""
    return f"Problem{status}_" + "_".join(sorted(codes)).replace("-", "")


def _shared(operations: list[Operation]) -> dict[str, Any]:
    found = {}
    for one in operations:
        for status, codes in _by_status(one).items():
            found[response_name(status, codes)] = _problem(status, codes)
    return found


def _by_status(one: Operation) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for code in one.all_problems:
        found.setdefault(PROBLEMS[code].status, []).append(code)
    return found


def _good(one: Operation, answer: Answer, refs: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"description": answer.description}
    if answer.media is not None:
        schema = {"type": "string"} if answer.model is None and answer.media != JSON else refs.get(repr(answer.model))
        found["content"] = {answer.media: {"schema": schema or {}}}
    headers = {
        h.name: {"schema": h.schema, "description": h.description, "required": h.required} for h in answer.headers
    }
    if one.scope is not None and answer.status != 101:
        headers |= _named(*IDENTIFIED, *SOMETIMES)
    return found | ({"headers": headers} if headers else {})


def _named(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _problem(status: int, codes: list[str]) -> dict[str, Any]:
    kinds = [PROBLEMS[code] for code in codes]
    examples = {code: {"value": problem_example(code)} for code in codes}
    found: dict[str, Any] = {
        "description": "; ".join(kind.title for kind in kinds) + ".",
        "content": {"application/problem+json": {
            "schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}},
    }  # fmt: skip
    headers = _named(*_limits_told(status))
    if RETRY & set(codes):
        headers["Retry-After"] = {"schema": {"type": "integer"}, "description": "Seconds to wait."}
    if status == 401:
        headers["WWW-Authenticate"] = {"schema": {"type": "string"}, "description": "RFC 6750."}
    return found | ({"headers": headers} if headers else {})


def _limits_told(status: int) -> tuple[str, ...]:
    """What an error says of limits: to a tenant all, to an address its own policy, below HTTP nothing (C89)."""
    if status in (408, 431):
        return ()
    return ("RateLimit-Policy", "RateLimit") if status == 401 else (*IDENTIFIED, *SOMETIMES)


def problem_pairs(operations: list[Operation]) -> set[tuple[str, int, str]]:
    """Every (operation, status, problem code or empty) that the document promises."""
    found: set[tuple[str, int, str]] = set()
    for one in operations:
        found |= {(one.id, a.status, "") for a in (*one.answers, *(one.errors or {}).values())}
        found |= {(one.id, PROBLEMS[code].status, code) for code in one.all_problems}
    return found

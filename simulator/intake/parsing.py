"""From a body to a submission: every fault of every field is told at once, with its pointer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import msgspec.inspect

from zjops.domain.errors import FieldError, Problem
from zjops.domain.wire import SubmitRequest

Validate = Callable[[str, dict[str, Any]], list[FieldError]]


def field_errors(body: dict[str, Any], model: type[msgspec.Struct] = SubmitRequest) -> list[FieldError]:
    """Every field of a body that is missing, unknown or wrong, each with its pointer."""
    found: list[FieldError] = []
    fields = {field.encode_name: field for field in msgspec.structs.fields(model)}
    for name, field in fields.items():
        if name not in body:
            if field.required:
                found.append(FieldError(f"#/{name}", "is required"))
            continue
        try:
            msgspec.convert(body[name], field.type)
        except msgspec.ValidationError as exc:
            text, _, where = str(exc).partition(" - at `$")
            path = where.rstrip("`").replace(".", "/").replace("[", "/").replace("]", "")
            found.append(FieldError(f"#/{name}{path}", told(text, field.type)))
    found.extend(FieldError(f"#/{name}", "is not a field of this document") for name in body if name not in fields)
    return found


def told(text: str, kind: Any) -> str:
    """The library's words on a value, with the values that there are where it must be one of some."""
    values = _values(msgspec.inspect.type_info(kind)) if text.startswith("Invalid enum value") else []
    return f"{text}; there are {', '.join(map(str, values))}" if values else text


def _values(kind: msgspec.inspect.Type) -> list[Any]:
    match kind:
        case msgspec.inspect.EnumType(cls=members):
            return [member.value for member in members]
        case msgspec.inspect.LiteralType(values=values):
            return list(values)
        case msgspec.inspect.UnionType(types=types):
            return [value for one in types for value in _values(one)]
        case msgspec.inspect.ListType(item_type=item):
            return _values(item)
    return []


def convert(raw: Any, model: type[Any]) -> Any:
    """A decoded body as a model. Raises `Problem` (422) that names every wrong field."""
    if not isinstance(raw, dict):
        raise Problem("validation-failed", "The body is not an object.", errors=[FieldError("#", "is not an object")])
    try:
        return msgspec.convert(raw, model)
    except msgspec.ValidationError as exc:
        # The library names the first fault only; a client wants them all.
        errors = field_errors(raw, model) or [FieldError("#", str(exc))]
    raise Problem("validation-failed", f"{len(errors)} field(s) are wrong.", errors=errors)


def submission_of(raw: Any, validate: Validate) -> SubmitRequest:
    """A decoded body as a submission whose parameters its job type accepts. Raises `Problem` (422)."""
    request: SubmitRequest = convert(raw, SubmitRequest)
    errors = validate(request.job_type.value, request.parameters)
    if errors:
        raise Problem("validation-failed", f"{len(errors)} field(s) are wrong.", errors=errors)
    return request

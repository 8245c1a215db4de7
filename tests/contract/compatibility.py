"""Which changes between two OpenAPI documents break a client that was written for the first."""

from __future__ import annotations

from typing import Any

Doc = dict[str, Any]


def breaking_changes(old: Doc, new: Doc) -> list[str]:
    """Every breaking change in words; empty when each client of `old` gets along with `new`."""
    found: list[str] = []
    for path, methods in old["paths"].items():
        for method, one in methods.items():
            name, other = f"{method.upper()} {path}", new["paths"].get(path, {}).get(method)
            if other is None:
                found.append(f"{name} is gone")
                continue
            found += _operation(name, one, other)
    sent = _sent(old) | _sent(new)
    for name, schema in old["components"]["schemas"].items():
        other = new["components"]["schemas"].get(name)
        if other is None:
            found.append(f"{name} is gone")
        else:
            found += _schema(name, schema, other, sent=name in sent)
    return found


def _operation(name: str, old: Doc, new: Doc) -> list[str]:
    found = []
    if old["security"] != new["security"]:
        found.append(f"{name} needs another scope")
    before = {(p["in"], p["name"]): p for p in old["parameters"]}
    after = {(p["in"], p["name"]): p for p in new["parameters"]}
    found += [f"{name} no longer takes {key[1]}" for key in before.keys() - after.keys()]
    for key, parameter in after.items():
        if parameter["required"] and not before.get(key, {"required": False})["required"]:
            found.append(f"{name} requires {key[1]}")
    good = [status for status in old["responses"] if status[0] in "123"]
    found += [f"{name} no longer answers {status}" for status in good if status not in new["responses"]]
    return found


def _sent(document: Doc) -> set[str]:
    """Models that clients send: what they may leave out must stay so."""
    names = set()
    for methods in document["paths"].values():
        for one in methods.values():
            for content in one.get("requestBody", {}).get("content", {}).values():
                names.add(content["schema"].get("$ref", "").rpartition("/")[2])
    return names


def _schema(name: str, old: Doc, new: Doc, *, sent: bool) -> list[str]:
    found = []
    if old.get("type") != new.get("type"):
        found.append(f"{name} was {old.get('type')} and is {new.get('type')}")
    more, fewer = (
        set(new.get("enum", [])) - set(old.get("enum", [])),
        set(old.get("enum", [])) - set(new.get("enum", [])),
    )
    if more and not sent:
        found.append(f"{name} may now be {', '.join(map(str, more))}")
    if fewer:
        found.append(f"{name} can no longer be {', '.join(map(str, fewer))}")
    for field, schema in old.get("properties", {}).items():
        if field not in new.get("properties", {}):
            found.append(f"{name}.{field} is gone")
        else:
            found += _schema(f"{name}.{field}", schema, new["properties"][field], sent=sent)
    if sent:
        added = set(new.get("required", [])) - set(old.get("required", []))
        found += [f"{name} requires {field}" for field in added]
    else:
        dropped = set(old.get("required", [])) - set(new.get("required", []))
        found += [f"{name}.{field} may be left out" for field in dropped]
    return found

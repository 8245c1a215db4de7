"""The shape of OpenSLO v1 documents, and a reader that takes nothing else.

Every scalar is read as text: a target of 0.999 never becomes a float. Members that OpenSLO does not know are refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import yaml
from msgspec import Meta

from zjops.domain.errors import UsageError

Name = Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z", max_length=63)]
Text = Annotated[str, Meta(max_length=1050)]
Number = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?\Z", max_length=20)]
Duration = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,5}[mhdwMQY]\Z")]
Moment = Annotated[str, Meta(pattern=r"^[0-9]{1,6}[mhdwMQY]\Z")]
MOST_BYTES = 1_000_000


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A part of a document."""


class Metadata(Shape, frozen=True, kw_only=True):
    """The names of an object."""

    name: Name
    display_name: str | None = None
    labels: dict[str, str | list[str]] = {}
    annotations: dict[str, str] = {}


class MetricSource(Shape, frozen=True, kw_only=True):
    """Where a count comes from: a DataSource by its name, or a type."""

    metric_source_ref: Name | None = None
    type: str | None = None
    spec: dict[str, Any] = {}


class Metric(Shape, frozen=True, kw_only=True):
    """One count."""

    metric_source: MetricSource


class RatioMetric(Shape, frozen=True, kw_only=True):
    """Good or bad events of all."""

    counter: bool
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric | None = None
    raw: Metric | None = None
    raw_type: Literal["success", "failure"] | None = None


class SliSpec(Shape, frozen=True, kw_only=True):
    """What is measured."""

    description: Text | None = None
    threshold_metric: Metric | None = None
    ratio_metric: RatioMetric | None = None


class InlineSli(Shape, frozen=True, kw_only=True):
    """An SLI inside an SLO."""

    metadata: Metadata
    spec: SliSpec


class Calendar(Shape, frozen=True, kw_only=True):
    """When a period that is tied to the calendar begins."""

    start_time: str
    time_zone: str


class TimeWindow(Shape, frozen=True, kw_only=True):
    """The period of an SLO."""

    duration: Duration
    is_rolling: bool
    calendar: Calendar | None = None


class ObjectiveSpec(Shape, frozen=True, kw_only=True):
    """The target."""

    display_name: str | None = None
    op: Literal["lte", "gte", "lt", "gt"] | None = None
    value: Number | None = None
    target: Number | None = None
    target_percent: Number | None = None
    time_slice_target: Number | None = None
    time_slice_window: Duration | None = None


class PolicyRef(Shape, frozen=True, kw_only=True):
    """An AlertPolicy by its name."""

    alert_policy_ref: Name


class SloSpec(Shape, frozen=True, kw_only=True):
    """What is promised."""

    description: Text | None = None
    service: Name
    indicator: InlineSli | None = None
    indicator_ref: Name | None = None
    time_window: Annotated[list[TimeWindow], Meta(min_length=1, max_length=1)]
    budgeting_method: Literal["Occurrences", "Timeslices", "RatioTimeslices"]
    objectives: Annotated[list[ObjectiveSpec], Meta(min_length=1)]
    alert_policies: list[Name | PolicyRef] = []


class Condition(Shape, frozen=True, kw_only=True):
    """A burn rate that is too high."""

    kind: Literal["burnrate"]
    op: Literal["lte", "gte", "lt", "gt"]
    threshold: Number
    lookback_window: Duration
    alert_after: Moment = "0m"


class ConditionSpec(Shape, frozen=True, kw_only=True):
    """When to alert, and how loudly."""

    description: Text | None = None
    severity: str
    condition: Condition


class PolicyCondition(Shape, frozen=True, kw_only=True):
    """The condition of a policy: by its name, or written out."""

    condition_ref: Name | None = None
    api_version: Literal["openslo/v1"] | None = None
    kind: Literal["AlertCondition"] | None = None
    metadata: Metadata | None = None
    spec: ConditionSpec | None = None


class TargetRef(Shape, frozen=True, kw_only=True):
    """An AlertNotificationTarget by its name."""

    target_ref: Name


class PolicySpec(Shape, frozen=True, kw_only=True):
    """A condition and who hears of it."""

    description: Text | None = None
    alert_when_no_data: bool = False
    alert_when_resolved: bool = False
    alert_when_breaching: bool = False
    conditions: Annotated[list[PolicyCondition], Meta(min_length=1, max_length=1)]
    notification_targets: list[TargetRef] = []


class DataSourceSpec(Shape, frozen=True, kw_only=True):
    """Where metrics are kept."""

    description: Text | None = None
    type: str
    connection_details: dict[str, Any] = {}


class ServiceSpec(Shape, frozen=True, kw_only=True):
    """What is served."""

    description: Text | None = None


class TargetSpec(Shape, frozen=True, kw_only=True):
    """Who hears of alerts."""

    description: Text | None = None
    target: str


class Document(NamedTuple):
    """One object of a file, with where it stands."""

    kind: str
    metadata: Metadata
    spec: Any
    where: str


KINDS: dict[str, type[Shape]] = {
    "Service": ServiceSpec, "SLI": SliSpec, "SLO": SloSpec, "DataSource": DataSourceSpec,
    "AlertPolicy": PolicySpec, "AlertCondition": ConditionSpec, "AlertNotificationTarget": TargetSpec,
}  # fmt: skip


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    api_version: Literal["openslo/v1"]
    kind: Literal["Service", "SLI", "SLO", "DataSource", "AlertPolicy", "AlertCondition", "AlertNotificationTarget"]
    metadata: Metadata
    spec: dict[str, Any]


class _Loader(yaml.BaseLoader):  # type: ignore[misc]  # the library has no types
    """Reads scalars as text, and refuses a member that is written twice, and references between nodes."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a member's name is text", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} stands there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return dict(super().construct_mapping(node, deep))

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="references (*name) are not read here", problem_mark=mark)
        return super().compose_node(parent, index)


def read_documents(text: str, file: str) -> list[Document]:
    """The objects of a file. Raises `UsageError` that names the file and the member, or the line."""
    try:
        found = [one for one in yaml.load_all(text, _Loader) if one not in (None, "")]
    except yaml.MarkedYAMLError as exc:
        line = f", line {exc.problem_mark.line + 1}" if exc.problem_mark else ""
        raise UsageError(f"{file}{line}: {exc.problem}") from exc
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        raise UsageError(f"{file} is no YAML: {str(exc).splitlines()[0]}") from exc
    return [_document(one, f"{file}, document {number}") for number, one in enumerate(found, 1)]


def read_file(path: Path) -> list[Document]:
    """The objects of a file that someone wrote. Raises `UsageError`."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise UsageError(f"{path} is larger than {MOST_BYTES:,} bytes")
        return read_documents(data.decode(), str(path))
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise UsageError(f"{path} cannot be read ({why})") from exc


def _document(raw: Any, where: str) -> Document:
    header: _Header = _convert(raw, _Header, where)
    where = f"{where} ({header.kind} {header.metadata.name})"
    spec = _convert(header.spec, KINDS[header.kind], where, "spec")
    return Document(header.kind, header.metadata, spec, where)


def _convert(raw: Any, kind: Any, where: str, at: str = "") -> Any:
    try:
        return msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError as exc:
        problem, _, path = str(exc).partition(" - at `$")
        path = re.sub(r"^\.", "", f"{at}{path.rstrip('`')}")
        problem = problem[:1].lower() + problem[1:]
        raise UsageError(f"{where}: {path + ': ' if path else ''}{problem}") from exc

"""Checks: states, the line that Nagios reads, and what is remembered between two runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.zjops.client.test_standing import QUIET
from zjops.domain.anchoring import REORGED
from zjops.domain.errors import UsageError
from zjops.domain.wire_admin import PlatformState
from zjops.domain.wire_webhooks import EndpointView
from zjops.slo.alerts import Alert
from zjops.slo.checks import (
    Ages,
    Check,
    Figure,
    Finding,
    Height,
    Outcomes,
    State,
    check_chain,
    check_queue,
    check_relayer,
    check_slo,
    check_webhooks,
    nagios,
    prometheus,
)
from zjops.slo.memory import FILE, Memory, Reading, read_memory, within, write_memory

AGES = Ages(30, 120)
IDLE = PlatformState(
    active_jobs=0, unpublished=0, oldest_unpublished_ms=None, open_batches=0, dead_letters=0, relayer_paused=False,
    loop_lag_seconds=0.0, versions=[],
)  # fmt: skip
PERFDATA = re.compile(r"'[^'|=]+'=-?[0-9.]+(s|%|B)?(;[0-9.:]*){0,2}")


def _alert(severity: Any = "page", name: str = "SloBudgetBurn") -> Alert:
    return Alert(name, severity, {"slo": "availability", "plan": "pro"}, "burns", 0)


@pytest.mark.parametrize(
    ("changes", "waits", "state"),
    [
        pytest.param({}, None, State.OK, id="nothing waits"),
        pytest.param({}, 30.0, State.OK, id="the threshold itself is fine"),
        pytest.param({}, 31.0, State.WARNING, id="a job waits"),
        pytest.param({}, 121.0, State.CRITICAL, id="a job waits long"),
        pytest.param({"oldest_unpublished_ms": 31_000, "unpublished": 4}, None, State.WARNING, id="events wait"),
        pytest.param({"dead_letters": 2}, None, State.WARNING, id="dead letters"),
        pytest.param({"dead_letters": 2}, 500.0, State.CRITICAL, id="the gravest counts"),
    ],
)
def test_the_queue(changes: dict[str, Any], waits: float | None, state: State) -> None:
    found = check_queue(msgspec.structs.replace(IDLE, **changes), waits, AGES)
    assert found.state is state
    assert nagios(found).startswith(f"QUEUE {state.name} - ")


def test_a_job_that_waits_is_looked_for_with_all_tenants() -> None:
    """Whose it is the check does not know."""
    assert nagios(check_queue(IDLE, 31.0, AGES)).split(" | ")[0].endswith("; zjops jobs list --all --status pending")


@pytest.mark.parametrize(
    ("changes", "state", "then"),
    [
        pytest.param({}, State.OK, "", id="it works"),
        pytest.param({"paused": True}, State.WARNING, "zjops chain unpause relayer", id="a pause is meant"),
        pytest.param({"paused": True, "reason": f"{REORGED}: batch 3"}, State.CRITICAL, "reanchor", id="it has halted"),
        pytest.param({"owner": None}, State.CRITICAL, "zjops chain status", id="nobody is there"),
        pytest.param({"state": "waiting", "reason": "rpc_unavailable"}, State.CRITICAL, "status", id="it waits"),
        pytest.param({"oldest_waiting_ms": 31_000}, State.WARNING, "zjops chain status", id="jobs wait for a batch"),
    ],
)
def test_the_relayer(changes: dict[str, Any], state: State, then: str) -> None:
    found = check_relayer(msgspec.structs.replace(QUIET, **changes), AGES)
    assert found.state is state
    assert then in nagios(found)


def test_one_of_something_is_counted_as_one() -> None:
    relayer = check_relayer(msgspec.structs.replace(QUIET, open_batches=1), AGES)
    assert nagios(relayer).startswith("RELAYER OK - active, 1 batch under way |")
    queue = msgspec.structs.replace(IDLE, active_jobs=1)
    assert nagios(check_queue(queue, None, AGES)).startswith("QUEUE OK - 1 active job, none waits long |")
    dead = msgspec.structs.replace(IDLE, dead_letters=1)
    assert nagios(check_queue(dead, None, AGES)).startswith("QUEUE WARNING - 1 dead letter; ")


def test_the_chain_counts_failed_transactions_as_the_ruling_says() -> None:
    """Over 10 % of ten minutes, and at least 5."""
    height = Height(100, 0.0, False, True)
    states = {
        outcome: check_chain(height, Outcomes(*outcome), AGES, 0).state
        for outcome in ((45, 5), (44, 5), (0, 4), (0, 5), (1000, 99))
    }
    assert states == {
        (45, 5): State.OK, (44, 5): State.CRITICAL, (0, 4): State.OK, (0, 5): State.CRITICAL, (1000, 99): State.OK
    }  # fmt: skip
    assert check_chain(height, Outcomes(0, 5), AGES, 0).alerts[0].name == "ChainConfirmationsFailing"
    assert check_chain(height, None, AGES, 0).state is State.OK
    assert check_chain(height._replace(late_s=31.0), None, AGES, 0).state is State.WARNING
    assert check_chain(height._replace(paused=True), None, AGES, 0).state is State.WARNING
    assert check_chain(height._replace(known=False), None, AGES, 0).state is State.CRITICAL


def test_webhook_endpoints_that_fail_are_named_with_the_command_that_shows_more() -> None:
    good = EndpointView(
        endpoint_id="we_1", url="https://a", events=[], description=None, status="active", failures=0, created_at="",
        updated_at="",
    )  # fmt: skip
    failed = msgspec.structs.replace(good, endpoint_id="we_2", status="failed", failures=9)
    assert check_webhooks({"acme": [good]}, 0).state is State.OK
    found = check_webhooks({"acme": [good, failed]}, 3)
    assert found.state is State.WARNING
    assert "we_2 of acme has failed; zjops webhooks deliveries --state failed --tenant acme" in nagios(found)


def test_a_page_is_critical_a_ticket_a_warning_and_no_data_unknown() -> None:
    for alerts, state in (
        ([_alert()], State.CRITICAL), ([_alert("ticket")], State.WARNING),
        ([_alert("ticket", "SloNoData")], State.UNKNOWN), ([_alert("ticket", "SloNoData"), _alert()], State.CRITICAL),
    ):  # fmt: skip
        found = check_slo([], alerts)
        said = [one for one in found.findings if not one.text.startswith("nothing is known of any")]
        assert found._replace(findings=said).state is state
    assert check_slo([], []).state is State.UNKNOWN, "no objective with an event is nothing good"


def test_the_line_is_what_nagios_parses() -> None:
    worse = Finding(State.CRITICAL, "worse", "zjops status")
    findings = [Finding(State.WARNING, "a | pipe"), worse, Finding(State.OK, "x")]
    figures = [Figure("a/b left", 61, "%", "50:", "25:"), Figure("depth", 7), Figure("age", 0.5, "s", "30", "120")]
    first, *others = nagios(Check("slo", findings, figures, "calm", [])).splitlines()
    said, _, perfdata = first.partition(" | ")
    assert said == "SLO CRITICAL - worse; zjops status (and 2 more)"
    assert perfdata == "'a/b left'=61%;50:;25: 'depth'=7 'age'=0.5s;30;120"
    assert all(PERFDATA.fullmatch(part) for part in re.findall(r"'[^']+'=\S+", perfdata))
    assert others == ["a / pipe", "x"]
    assert nagios(Check("slo", [], [], "calm", [])) == "SLO OK - calm"


def test_the_prometheus_format_is_read_by_its_own_parser() -> None:
    from prometheus_client.parser import text_string_to_metric_families

    text = prometheus(Check("slo", [Finding(State.WARNING, "x")], [Figure('a "b"', 1.5, "s")], "", [_alert()]))
    found = {sample.name: sample for family in text_string_to_metric_families(text + "\n") for sample in family.samples}
    assert found["zjops_check_state"].value == 1
    assert (found["zjops_check_figure"].labels["figure"], found["zjops_check_figure"].value) == ('a "b"', 1.5)
    assert found["zjops_check_alert"].labels["alertname"] == "SloBudgetBurn"


def test_counters_of_two_runs_tell_what_happened_between_them_and_a_new_process_counts_from_zero() -> None:
    readings = [Reading(0, 10, 0), Reading(100, 50, 1), Reading(200, 60, 3)]
    assert within(readings, Reading(300, 70, 4), 250) == (20, 3)
    assert within(readings, Reading(300, 2, 1), 100) == (2, 1)
    assert within(readings, Reading(5_000, 70, 4), 100) is None
    assert within([], Reading(1, 2, 3), 100) is None


def test_memory_survives_and_what_is_broken_is_named(tmp_path: Path) -> None:
    assert read_memory(tmp_path) == Memory()
    kept = Memory(chain=[Reading(1, 2, 3)])
    write_memory(tmp_path, kept)
    assert read_memory(tmp_path) == kept
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    for text, said in (("{", "cannot be read"), ('{"schema": "zjops.checks/9"}', "another version")):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(UsageError, match=said):
            read_memory(tmp_path)

import asyncio
import stat
import uuid
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zjops.domain import ids
from zjops.domain.clock import ManualClock, VirtualClock, month_bounds_ms, parse_rfc3339, rfc3339, run_virtual
from zjops.domain.errors import PROBLEMS, FieldError, Problem, UnreachableError
from zjops.domain.events import (
    DURABLES,
    REPLAY,
    STREAMS,
    EventType,
    JobEvent,
    OpsKind,
    envelope,
    open_envelope,
    replay_subject,
)  # fmt: skip
from zjops.domain.jobs import TERMINAL, TRANSITIONS, JobState, Priority, band, may_follow, went_back
from zjops.domain.runfile import RUN_FILE, ClientEntry, RunFile, read_run_file, write_run_file
from zjops.domain.wire_admin import Happening


def test_no_state_leads_back_and_terminal_states_never_become_active() -> None:
    for before, afters in TRANSITIONS.items():
        assert not any(went_back(before, after) for after in afters)
        if before in TERMINAL:
            assert afters <= TERMINAL
    assert may_follow(JobState.COMPLETED, JobState.CONFIRMED)
    assert went_back(JobState.COMPLETED, JobState.PROCESSING)


def test_priorities_fall_into_three_bands() -> None:
    expected = [Priority.LOW] * 3 + [Priority.NORMAL] * 5 + [Priority.HIGH] * 3
    assert [band(p) for p in range(11)] == expected


def test_every_durable_reads_a_stream_that_carries_its_filter() -> None:
    streams = {spec.name: spec for spec in STREAMS}
    for durable in DURABLES:
        patterns = streams[durable.stream].subjects
        head = durable.filter.split(".")[0]
        assert any(pattern.split(".")[0] == head for pattern in patterns)
    assert len([d for d in DURABLES if d.stream == "WORK"]) == 9


@given(st.binary(min_size=16, max_size=16))
def test_job_ids_are_base58_both_ways(key: bytes) -> None:
    assert ids.job_key(ids.job_id(key)) == key


@pytest.mark.parametrize("text", ["", "job_", "job_0OIl", "jobs_1", "job_" + "z" * 40, "job_1\0"])
def test_what_is_not_a_job_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base58"):
        ids.job_key(text)


def test_idempotency_keys_are_uuids_of_version_four_bare_or_quoted() -> None:
    key = str(uuid.uuid4())
    assert ids.parse_uuid4(key) == ids.parse_uuid4(f'"{key}"')
    for wrong in ("", "x", str(uuid.uuid5(uuid.NAMESPACE_DNS, "x")), key.replace("-", ""), f'"{key}'):
        with pytest.raises(ValueError, match=r".+"):
            ids.parse_uuid4(wrong)


def test_a_seed_gives_the_same_ids_again() -> None:
    runs = [ids.SeededIds(ManualClock(1), 7) for _ in range(2)]
    assert [runs[0].uuid(), runs[0].token(4), runs[0].chance()] == [runs[1].uuid(), runs[1].token(4), runs[1].chance()]
    assert ids.SystemIds(ManualClock(1)).uuid().version == 7


def test_virtual_time_jumps_and_keeps_order() -> None:
    async def story() -> tuple[list[str], int]:
        clock, seen = VirtualClock(0), []

        async def after(seconds: float, name: str) -> None:
            await clock.sleep(seconds)
            seen.append(name)

        await asyncio.gather(after(86_400, "day"), after(1, "second"), after(3600, "hour"))
        return seen, clock.now_ms()

    assert run_virtual(story()) == (["second", "hour", "day"], 86_400_000)


def test_times_are_rfc_3339_and_need_a_zone() -> None:
    assert rfc3339(1_790_000_000_123) == "2026-09-21T14:13:20.123Z"
    assert parse_rfc3339(rfc3339(1_790_000_000_123)) == 1_790_000_000_123
    with pytest.raises(ValueError, match="offset"):
        parse_rfc3339("2026-01-01T00:00:00")
    start, end = month_bounds_ms("2026-12")
    assert (rfc3339(start), rfc3339(end)) == ("2026-12-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z")


def test_a_problem_document_carries_the_members_of_rfc_9457() -> None:
    problem = Problem("validation-failed", "One field is wrong.", errors=[FieldError("#/priority", "too high")])
    document = problem.document("/v1/jobs", "0" * 32)
    assert document["status"] == problem.status == 422
    assert document["errors"] == [
        {"pointer": "#/priority", "detail": "too high", "field": "priority", "message": "too high"}
    ]
    assert all(kind.code == code for code, kind in PROBLEMS.items())


def test_an_event_survives_its_envelope() -> None:
    data = JobEvent(
        tenant="acme", plan="pro", job_id="job_x", job_type="ml_inference", status="completed", accepted_at=1,
        payload_bytes=200, compute_units=100,
    )  # fmt: skip
    cloud, opened = open_envelope(envelope("e1", "acme", EventType.COMPLETED.cloud_type, "job_x", 5, data, None))
    assert opened == data
    assert (cloud.id, cloud.source, cloud.type) == ("e1", "/tenants/acme", "ai.zama.jobs.job.completed.v1")


def _run_file(home: Path) -> RunFile:
    operator = ClientEntry(tenant="ops", plan="free", client_id="c", client_secret="s", scopes=["jobs:admin"])
    return RunFile(
        run_id="r", home=str(home), started_at_ms=1, supervisor_pid=1, supervisor_started_at=1.0, api_url="a",
        issuer="i", token_url="t", control_url="c", control_token="x", nats_url="n", nats_user="u", nats_password="p",
        rpc_url="r", chain_id=31338, log_dir="l", operator=operator,
    )  # fmt: skip


def test_the_run_file_is_private_and_survives_a_round_trip(tmp_path: Path) -> None:
    write_run_file(tmp_path, _run_file(tmp_path))
    assert read_run_file(tmp_path) == _run_file(tmp_path)
    assert stat.S_IMODE((tmp_path / RUN_FILE).stat().st_mode) == 0o600


def test_a_missing_or_damaged_run_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="zjops up"):
        read_run_file(tmp_path)
    (tmp_path / RUN_FILE).write_text('{"schema":')
    with pytest.raises(UnreachableError, match="cannot be read"):
        read_run_file(tmp_path)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b"{}", type=RunFile)


def test_what_is_replayed_is_on_no_stream() -> None:
    first = replay_subject("repair", EventType.COMPLETED.subject).split(".")[0]
    assert f"{first}.>" == REPLAY
    assert {subject.split(".")[0] for spec in STREAMS for subject in spec.subjects}.isdisjoint({first, "*", ">"})


def test_what_may_be_replayed_by_type_is_what_the_two_streams_tell_of() -> None:
    assert get_args(Happening) == (*(kind.value for kind in EventType), *(kind.value for kind in OpsKind))

"""What the checks ask a platform: the operators' door, the node, a process's metrics, the log."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from zjops.analytics.warehouse import Warehouse
from zjops.client.admin import BASE, Admin
from zjops.client.chain import ChainReader
from zjops.client.http import Http
from zjops.client.oauth import ClientCredentials
from zjops.client.rpc import node_of
from zjops.client.standing import lag
from zjops.client.webhooks import Webhooks
from zjops.config import Context
from zjops.domain.clock import parse_rfc3339
from zjops.domain.runfile import read_run_file
from zjops.domain.wire_admin import PlatformState
from zjops.domain.wire_chain import RelayerView
from zjops.domain.wire_webhooks import EndpointView
from zjops.slo.alerts import CHAIN_MINUTES
from zjops.slo.checks import Height, Outcomes
from zjops.slo.memory import KEPT_MS, Reading, read_memory, within, write_memory

WITHIN_S = 5.0
HOUR_MS = 3_600_000
DELIVERIES = 100
_OUTCOME = re.compile(r'^blockchain_confirmations_total\{outcome="(\w+)"\} ([0-9.e+]+)$', re.MULTILINE)


def door(context: Context) -> Admin:
    """The operators' door, asked once and not for long: a check that hangs tells nobody anything."""
    auth = ClientCredentials(context.token_url, context.operations())
    return Admin(context, Http(context.api_url, auth=auth, timeout_s=WITHIN_S, tries=1))


def platform_state(context: Context) -> PlatformState:
    """Queue, outbox and dead letters."""
    found: PlatformState = door(context).http.get(f"{BASE}/platform", PlatformState)
    return found


def relayer(context: Context) -> RelayerView:
    """The relayer."""
    return door(context).relayer()


def oldest_waiting_s(log_dir: Path, now_ms: int) -> float | None:
    """For how long the oldest job of the last day has waited to start, by the log; None where none does."""
    with Warehouse(log_dir) as warehouse:
        ((accepted_at,),) = warehouse.tuples("slo_oldest_waiting", after_ms=now_ms)
    return None if accepted_at is None else max(0.0, (now_ms - accepted_at) / 1000)


def webhooks(context: Context, now_ms: int) -> tuple[dict[str, list[EndpointView]], int]:
    """Endpoints by tenant, and deliveries of the last hour that were given up, of the newest hundred a tenant."""
    endpoints, failed = {}, 0
    for client in context.clients:
        with Http(context.api_url, auth=ClientCredentials(context.token_url, client), timeout_s=WITHIN_S, tries=1) as h:
            asked = Webhooks(h)
            endpoints[client.tenant] = asked.endpoints().endpoints
            page = asked.deliveries(state="failed", limit=DELIVERIES).deliveries
        failed += sum(parse_rfc3339(one.created_at) > now_ms - HOUR_MS for one in page)
    return endpoints, failed


def height(context: Context, now_ms: int) -> Height:
    """How the node stands. Raises `ChainUnavailable`."""
    block_s = relayer(context).block_time_seconds
    with node_of(context) as rpc:
        head, reader = rpc.block(), ChainReader(context, rpc.http)
        known = reader.chain_id() == context.chain_id and reader.code_hash() == context.code_hash
        _, late_s = lag(int(head["timestamp"], 16), now_ms / 1000, block_s)
        return Height(int(head["number"], 16), late_s, known and reader.paused(), known)


def outcomes(home: Path, now_ms: int) -> Outcomes | None:
    """What became of confirmation transactions in ten minutes, by the relayer's counters now and as they were noted.

    The reading of now is noted for the next look. None where there is no earlier one, or no relayer's process.
    """
    port = next((p.port for p in read_run_file(home).processes if "relayer" in p.roles and p.port), None)
    if port is None:
        return None
    with Http(f"http://127.0.0.1:{port}", timeout_s=WITHIN_S, tries=1) as http:
        text = http.request("GET", "/metrics").content.decode()
    told = {name: int(float(value)) for name, value in _OUTCOME.findall(text)}
    now, memory = Reading(now_ms, told.get("confirmed", 0), told.get("failed", 0)), read_memory(home)
    found = within(memory.chain, now, CHAIN_MINUTES * 60_000)
    kept = [one for one in memory.chain if now_ms - KEPT_MS < one.at_ms < now_ms]
    write_memory(home, msgspec.structs.replace(memory, chain=[*kept, now]))
    return None if found is None else Outcomes(*found)

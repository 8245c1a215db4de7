"""The event stream as a source, against a real broker that is killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from nats.aio.client import Client
from nats.js import api

from tests.support.nats import NatsServer, eventually
from tests.unit.zjops.client.test_clients import CONTEXT
from tests.unit.zjops.recording.told import START, job_id
from zjops.config import Context
from zjops.domain.clock import SystemClock
from zjops.domain.events import STREAMS, JobEvent, envelope
from zjops.feed.broker import EventSource
from zjops.feed.feed import Intake
from zjops.feed.messages import BROKER


async def _client(server: NatsServer) -> Client:
    client = Client()
    await client.connect(server.url, user=server.user, password=server.password)
    return client


async def _publish(server: NatsServer, first: int, count: int) -> None:
    client = await _client(server)
    for number in range(first, first + count):
        event = JobEvent(
            tenant="acme", plan="pro", job_id=job_id(number), job_type="ml_inference", status="pending",
            accepted_at=START, payload_bytes=1, compute_units=1,
        )  # fmt: skip
        data = envelope("id", "acme", "ai.zama.jobs.job.submitted.v1", job_id(number), START, event, None)
        await client.jetstream().publish("jobs.submitted", data)
    await client.close()


async def test_a_broker_that_is_killed_costs_no_event_and_doubles_none(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    server.start()
    try:
        client = await _client(server)
        for spec in STREAMS:
            await client.jetstream().add_stream(api.StreamConfig(name=spec.name, subjects=list(spec.subjects)))
        await client.close()
        await _publish(server, 0, 12)
        # The credentials of a run are made anew with it: whoever comes back asks for them again.
        asked: list[Context] = []

        def context() -> Context:
            asked.append(msgspec.structs.replace(
                CONTEXT, nats_url=server.url, nats_user=server.user, nats_password=server.password
            ))  # fmt: skip
            return asked[-1]

        clock = SystemClock()
        intake = Intake(clock)
        running = asyncio.create_task(EventSource(context, clock, newest=10).run(intake))
        await eventually(lambda: len(intake.changes.jobs) == 10)
        await asyncio.to_thread(server.kill)
        await eventually(lambda: BROKER in intake.stale_by)
        await asyncio.to_thread(server.start)
        await _publish(server, 12, 5)
        await eventually(lambda: len(intake.changes.jobs) == 15)
        assert BROKER not in intake.stale_by
        assert [row[0] for row in intake.changes.jobs] == [job_id(number) for number in range(2, 17)]
        assert len(asked) > 1
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    finally:
        server.stop()

"""Reading back what a stream keeps, by a consumer of its own that is gone afterwards."""

from __future__ import annotations

import contextlib
import datetime as dt

from nats.aio.msg import Msg
from nats.errors import Error
from nats.js import JetStreamContext, api

FETCH_WITHIN_S = 5.0
FORGOTTEN_AFTER_S = 10.0
"""A consumer whose reader died is removed by the server."""


def _config(first: int, since_ms: int | None) -> api.ConsumerConfig:
    config = api.ConsumerConfig(
        ack_policy=api.AckPolicy.NONE, mem_storage=True, num_replicas=1, inactive_threshold=FORGOTTEN_AFTER_S,
        deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=max(1, first),
    )  # fmt: skip
    if since_ms is not None:
        config.deliver_policy, config.opt_start_seq = api.DeliverPolicy.BY_START_TIME, None
        moment = dt.datetime.fromtimestamp(since_ms // 1000, dt.UTC)
        config.opt_start_time = moment.replace(microsecond=since_ms % 1000 * 1000)
    return config


async def read_log(js: JetStreamContext, stream: str, most: int, first: int, since_ms: int | None) -> list[Msg]:
    """Up to `most` messages in order. The consumer says how many there are, so that none is waited for."""
    info = await js.add_consumer(stream, _config(first, since_ms))
    wanted, found = min(most, info.num_pending or 0), list[Msg]()
    subscription = await js.pull_subscribe_bind(consumer=info.name, stream=stream)
    try:
        while len(found) < wanted:
            found += await subscription.fetch(wanted - len(found), timeout=FETCH_WITHIN_S)
    finally:
        with contextlib.suppress(Error, TimeoutError):
            await subscription.unsubscribe()
            await js.delete_consumer(stream, info.name)
    return found

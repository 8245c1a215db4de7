"""What the reply subject of a delivery says, against the library's own reading."""

from __future__ import annotations

import pytest
from nats.aio.msg import Msg

from zjops.domain.events import delivery


@pytest.mark.parametrize(
    "subject",
    [
        "$JS.ACK.EVENTS.abc.2.812.3.1795726399285000000.17",
        "$JS.ACK.hub.ACCHASH.EVENTS.abc.2.812.3.1795726399285000000.17",
        "$JS.ACK.hub.ACCHASH.EVENTS.abc.2.812.3.1795726399285000000.17.token",
    ],
)
def test_a_delivery_says_what_the_library_reads(subject: str) -> None:
    read = Msg.Metadata._from_reply(subject)
    stream, consumer, delivered, number, count, _, pending = delivery(subject)
    assert (stream, consumer) == (read.stream, read.consumer) == ("EVENTS", "abc")
    assert (int(number), int(count)) == (read.sequence.stream, read.sequence.consumer) == (812, 3)
    assert (int(delivered), int(pending)) == (read.num_delivered, read.num_pending) == (2, 17)

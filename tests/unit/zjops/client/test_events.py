"""Where an event stands in its stream."""

from __future__ import annotations

import pytest
from nats.aio.msg import Msg

from zjops.client.events import _place


@pytest.mark.parametrize(
    "subject",
    [
        "$JS.ACK.EVENTS.abc.1.812.3.1795726399285000000.17",
        "$JS.ACK.hub.ACCHASH.EVENTS.abc.1.812.3.1795726399285000000.17",
        "$JS.ACK.hub.ACCHASH.EVENTS.abc.1.812.3.1795726399285000000.17.token",
    ],
)
def test_the_place_of_a_delivery_is_what_the_library_reads(subject: str) -> None:
    read = Msg.Metadata._from_reply(subject)
    assert _place(subject) == (read.stream, read.sequence.stream) == ("EVENTS", 812)

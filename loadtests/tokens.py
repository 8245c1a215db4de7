"""A tenant's access token as a real client keeps it: fetched anew before it ends, once however many need it."""

from __future__ import annotations

import random
from collections.abc import Callable

import gevent
import msgspec
from gevent.lock import BoundedSemaphore

from zjops.client.http import Http, decode
from zjops.domain.errors import ZjopsError
from zjops.domain.runfile import ClientEntry
from zjops.domain.wire import TokenReply

EARLY_S = 90.0
SPREAD_S = 60.0
"""Processes of a run do not ask all at once: each begins somewhere in this span before `EARLY_S`."""
AGAIN_S = 1.0
TIMEOUT_S = 10.0


class Token:
    """The token of one tenant. `changed` hears of each new one. Raises `Problem`, `Outage` for the first only."""

    def __init__(
        self, url: str, client: ClientEntry, now: Callable[[], float], changed: Callable[[str], None]
    ) -> None:  # fmt: skip
        self._url, self._client, self._now, self._changed = url, client, now, changed
        self._one = BoundedSemaphore(1)
        # Kept, because to make another takes so long that arrivals would wait for it.
        self._http = Http("", timeout_s=TIMEOUT_S)
        self._renew_at = 0.0
        self.value = ""

    def fetch(self) -> None:
        """Ask for a token."""
        form = {"grant_type": "client_credentials"}
        auth = (self._client.client_id, self._client.client_secret)
        reply = self._http.request("POST", self._url, data=form, auth=auth, repeat=True)
        told: TokenReply = decode(reply.content, TokenReply)
        early = EARLY_S + random.uniform(0, SPREAD_S)  # noqa: S311 - only spreads requests
        self._renew_at = self._now() + max(told.expires_in / 2, told.expires_in - early)
        self.value = told.access_token
        self._changed(self.value)

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def refused(self, value: str) -> None:
        """A request was answered 401. Whoever comes while another asks for a new token waits for that one."""
        with self._one:
            if self.value == value:
                self._try()

    def run(self) -> None:
        """Renew it before it ends, for ever."""
        while True:
            gevent.sleep(max(AGAIN_S, self._renew_at - self._now()))
            with self._one:
                self._try()

    def _try(self) -> None:
        try:
            self.fetch()
        except (ZjopsError, msgspec.MsgspecError):
            self._renew_at = self._now() + AGAIN_S

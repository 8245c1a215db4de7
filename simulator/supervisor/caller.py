"""A client of the API for the supervisor's own requests: it keeps a token, and asks for another before that ends."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlsplit

import msgspec

from simulator.supervisor.asking import Ask, Asked, Reply
from zjops.domain.clock import Clock
from zjops.domain.runfile import ClientEntry, RunFile

TOKEN_SPARE_S = 60.0
"""A token that ends so soon is not used any more."""


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float


class Caller:
    """Sends requests as one client."""

    def __init__(self, client: ClientEntry, run: RunFile, ask: Ask, clock: Clock) -> None:
        self._credentials = f"{client.client_id}:{client.client_secret}"
        self._token_path = urlsplit(run.token_url).path
        self._ask, self._clock = ask, clock
        self._token, self._token_until = "", 0.0

    async def call(self, asked: Asked, within_s: float) -> Reply:
        """The answer to a request with a token; where there is none to be had, the answer to asking for one."""
        if self._clock.monotonic() >= self._token_until and (refused := await self._login(within_s)) is not None:
            return refused
        headers = {**asked.headers, "Authorization": f"Bearer {self._token}"}
        reply = await self._ask(asked._replace(headers=headers), within_s)
        if reply.status == 401:
            self._token_until = 0.0
        return reply

    async def _login(self, within_s: float) -> Reply | None:
        headers = {
            "Authorization": "Basic " + base64.b64encode(self._credentials.encode()).decode(),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        reply = await self._ask(Asked("POST", self._token_path, headers, b"grant_type=client_credentials"), within_s)
        if reply.status != 200:
            return reply
        token = read(reply.body, _Token)
        if token is None:
            return Reply(0)
        self._token, self._token_until = token.access_token, self._clock.monotonic() + token.expires_in - TOKEN_SPARE_S
        return None


def read(body: bytes, kind: type[Any]) -> Any:
    """A document of that kind, None when it is another."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError:
        return None

"""Client credentials (RFC 6749 section 4.4): a token is kept until shortly before its end and fetched anew on a 401."""

from __future__ import annotations

from collections.abc import Generator

import httpx2

from zjops.client.http import problem_of
from zjops.domain.clock import SystemClock
from zjops.domain.runfile import ClientEntry

EARLY_S = 30


class ClientCredentials(httpx2.Auth):
    """Puts an access token of a client on every request.

    Only answers to its own requests are read here: that of the caller may be a stream without an end.
    """

    def __init__(self, token_url: str, client: ClientEntry, clock: SystemClock | None = None) -> None:
        self._token_url, self._client, self._clock = token_url, client, clock or SystemClock()
        self._token, self._ends = "", 0.0

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        if self._clock.monotonic() >= self._ends:
            self._keep((yield self._asking()))
        request.headers["Authorization"] = f"Bearer {self._token}"
        response = yield request
        if response.status_code == 401:
            self._keep((yield self._asking()))
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request

    def _asking(self) -> httpx2.Request:
        basic = httpx2.BasicAuth(self._client.client_id, self._client.client_secret)
        asking = httpx2.Request("POST", self._token_url, data={"grant_type": "client_credentials"})
        return next(basic.auth_flow(asking))

    def _keep(self, response: httpx2.Response) -> None:
        response.read()
        if not response.is_success:
            raise problem_of(response)
        reply = response.json()
        self._token = reply["access_token"]
        self._ends = self._clock.monotonic() + reply["expires_in"] - EARLY_S


def fetch_token(token_url: str, client: ClientEntry, scope: str | None = None) -> str:
    """An access token, for use in other programs. Raises `Problem`, `Outage`."""
    from zjops.client.http import Http

    form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
    # Named, so that an outage says whose it is.
    with Http(str(httpx2.URL(token_url).join("/")).rstrip("/")) as http:
        reply = http.request("POST", token_url, data=form, auth=(client.client_id, client.client_secret))
    return str(reply.json()["access_token"])

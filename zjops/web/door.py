"""Who may come in: a token that is good once, the cookie that it buys, and the names that this server goes by."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hmac import compare_digest

from zjops.domain.ids import Ids

SECRET_BYTES = 32
NAMES = ("127.0.0.1", "localhost")


class Door:
    """The rules of one server on one port of the loopback interface."""

    def __init__(self, port: int, ids: Ids) -> None:
        self.port = port
        self.cookie_name = f"zjops_top_{port}"
        """Cookies are not kept apart by port, so that two servers of one machine need two names."""
        self._hosts = frozenset(f"{name}:{port}" for name in NAMES)
        self._token: str | None = _secret(ids)
        self._session = _secret(ids)

    @property
    def url(self) -> str:
        """The address to open, with the token while it is good."""
        address = f"http://{NAMES[0]}:{self.port}/"
        return address if self._token is None else f"{address}?token={self._token}"

    def exchange(self, token: str) -> str | None:
        """The cookie's value for the token, the first time; None for any other token and any other time."""
        if self._token is None or not _same(token, self._token):
            return None
        self._token = None
        return self._session

    def knows(self, cookie: str | None) -> bool:
        """Whether it is the cookie that the token has bought."""
        return self._token is None and cookie is not None and _same(cookie, self._session)

    def names(self, hosts: list[str]) -> bool:
        """Whether a request was meant for this server: a page elsewhere may have its name lead here (DNS rebinding)."""
        return len(hosts) == 1 and hosts[0].lower() in self._hosts

    def own_page(self, origins: list[str], hosts: list[str]) -> bool:
        """Whether a page of this server asks: browsers let any page open a socket, and name the page."""
        return self.names(hosts) and [f"http://{hosts[0].lower()}"] == origins


def _secret(ids: Ids) -> str:
    return urlsafe_b64encode(ids.token(SECRET_BYTES)).rstrip(b"=").decode()


def _same(given: str, wanted: str) -> bool:
    return compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())

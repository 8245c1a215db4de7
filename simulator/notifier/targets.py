"""Where a webhook may go: checked after resolution, on the very address that is then connected to (SSRF)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from zjops.domain.errors import ZjopsError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[list[str]]]


class TargetRefused(ZjopsError):
    """The address may not be called; the text says why."""


class Target(NamedTuple):
    """An address that may be called: the URL with the host replaced by its IP, and the host for Host and SNI."""

    url: str
    host: str
    hostname: str
    secure: bool


def _plain(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, by whatever way it is wrapped."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inner or address
    return address


def allowed(text: str, policy: str) -> bool:
    """Whether an IP address may be called under a policy: `public`, `loopback` or `private`."""
    address = _plain(ipaddress.ip_address(text.partition("%")[0]))
    if address.is_loopback:
        return policy in ("loopback", "private")
    if address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.is_site_local:
        # Private until 2004, and still so in old networks; the library calls it global.
        return policy == "private"
    return address.is_global or policy == "private"


def check_url(url: str) -> None:
    """What can be said of an address before resolution. Raises `TargetRefused`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise TargetRefused("the address cannot be read") from exc
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise TargetRefused("only http and https addresses with a host can be called")
    if parts.username is not None or parts.password is not None:
        raise TargetRefused("an address with credentials is not called")
    if not parts.netloc.isascii():
        raise TargetRefused("the host is to be written in ASCII (xn--…)")
    if any(ord(letter) <= 0x20 or letter == "\\" for letter in url):
        raise TargetRefused("the address holds a control character, a space or a backslash")


def check_literal(url: str, policy: str) -> None:
    """An address that names its host by number can be refused before it is ever called. Raises `TargetRefused`."""
    host = urlsplit(url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    if not allowed(host, policy):
        raise TargetRefused(f"{host} may not be called from here")


async def resolve(host: str, port: int) -> list[str]:
    """The host's addresses. Raises `TargetRefused`."""
    import asyncio

    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise TargetRefused(f"the host {host} has no address") from exc
    return [str(entry[4][0]) for entry in found]


async def target_of(
    url: str, policy: str, *, blocked: frozenset[int] = frozenset(), lookup: Resolve = resolve
) -> Target:
    """Resolve an address and check every answer; the first is what will be called. Raises `TargetRefused`."""
    check_url(url)
    parts = urlsplit(url)
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    found = await lookup(host, port)
    refused = [text for text in found if not allowed(text, policy)]
    if refused or not found:
        raise TargetRefused(
            f"{host} is at {refused[0] if refused else 'no address'}, which may not be called from here"
        )
    if port in blocked and any(_plain(ipaddress.ip_address(t.partition("%")[0])).is_loopback for t in found):
        raise TargetRefused(f"port {port} on this machine belongs to the platform itself")
    address = f"[{found[0]}]" if ":" in found[0] else found[0]
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    named = parts.netloc.rpartition("@")[2]
    return Target(f"{parts.scheme}://{address}:{port}{path}", named, host, secure)

"""Webhooks to a real receiver: signatures that others accept, retries, rotation, and targets that are refused."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from anyio._backends._asyncio import SocketStream
from standardwebhooks import Webhook, WebhookVerificationError

from simulator.notifier.notifier import TENANT_SHARE
from simulator.notifier.targets import TargetRefused, allowed, check_url, target_of
from simulator.policy.delivery import MOST_ATTEMPTS, after_attempt
from tests.contract.stage import SIEVE, Stage, staged
from tests.support.nats import eventually
from zjops.client.webhooks import Received, Receiver
from zjops.domain.webhooks import faults, new_secret, sign
from zjops.domain.wire_webhooks import WebhookBody


class Ear:
    """A receiver with what it heard."""

    def __init__(self, fail: Any = None) -> None:
        self.heard: list[Received] = []
        self.receiver = Receiver(self.heard.append, fail=fail)
        self.receiver.start()
        self.url = self.receiver.url


@pytest.fixture
def ear() -> Iterator[Ear]:
    found = Ear()
    yield found
    found.receiver.stop()


async def _endpoint(stage: Stage, token: str, ear: Ear, **more: Any) -> str:
    made = (await stage.ask("POST", "/v1/webhooks/endpoints", token, {"url": ear.url} | more)).json()
    ear.receiver.secret = made["secret"]
    return str(made["endpointId"])


async def test_both_events_of_a_job_arrive_signed_as_the_library_expects(tmp_path: Path, ear: Ear) -> None:
    async with staged(tmp_path) as stage:
        token = await stage.client("acme")
        await _endpoint(stage, token, ear)
        job = await stage.job(token)
        await eventually(lambda: len(ear.heard) == 2)
    bodies = [json.loads(r.body) for r in ear.heard]
    for r in ear.heard:
        msgspec.json.decode(r.body, type=WebhookBody)
    assert [(b["type"], b["jobId"], b["status"]) for b in bodies] == [
        ("job.completed", job, "completed"), ("job.confirmed", job, "confirmed")
    ]  # fmt: skip
    assert bodies[0]["result"]["output"]["count"] == 25
    assert bodies[0]["result"]["computeUnitsUsed"] == 100
    assert "blockchainConfirmation" not in bodies[0]
    assert bodies[1]["blockchainConfirmation"]["txHash"].startswith("0x")
    for received in ear.heard:
        assert received.faults == []
        Webhook(ear.receiver.secret).verify(received.body.decode(), received.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(ear.receiver.secret).verify(received.body.decode() + " ", received.headers)


async def test_a_callback_url_is_signed_with_the_tenants_own_secret(tmp_path: Path, ear: Ear) -> None:
    async with staged(tmp_path) as stage:
        token = await stage.client("acme")
        ear.receiver.secret = (await stage.ask("GET", "/v1/webhooks/callback-secret", token)).json()["secret"]
        await stage.submit(token, SIEVE | {"callbackUrl": ear.url})
        await eventually(lambda: len(ear.heard) == 2)
    assert [r.faults for r in ear.heard] == [[], []]


async def test_after_five_failures_it_is_given_up_and_can_be_sent_again_by_hand(tmp_path: Path) -> None:
    ear = Ear("500")
    async with staged(tmp_path) as stage:
        token = await stage.client("acme")
        await _endpoint(stage, token, ear, events=["job.completed"])
        await stage.job(token)

        async def failed() -> bool:
            log = (await stage.ask("GET", "/v1/webhooks/deliveries?state=failed", token)).json()["deliveries"]
            return bool(log)

        await eventually(failed)
        log = (await stage.ask("GET", "/v1/webhooks/deliveries", token)).json()["deliveries"]
        assert [a["status"] for a in log[0]["attempts"]] == [500] * MOST_ATTEMPTS
        assert len({r.headers["webhook-id"] for r in ear.heard}) == 1
        ear.receiver._fail = None
        await stage.ask("POST", f"/v1/webhooks/deliveries/{log[0]['deliveryId']}/redeliver", token)
        await eventually(lambda: ear.heard[-1].answered == 204)
    ear.receiver.stop()


async def test_a_rotated_secret_signs_beside_the_former_one(tmp_path: Path, ear: Ear) -> None:
    async with staged(tmp_path) as stage:
        token = await stage.client("acme")
        name = await _endpoint(stage, token, ear, events=["job.completed"])
        former = ear.receiver.secret
        new = (await stage.ask("POST", f"/v1/webhooks/endpoints/{name}/secret/rotate", token)).json()["secret"]
        await stage.job(token)
        await eventually(lambda: len(ear.heard) == 1)
    for secret in (former, new):
        Webhook(secret).verify(ear.heard[0].body.decode(), ear.heard[0].headers)
    assert ear.heard[0].headers["webhook-signature"].count("v1,") == 2


async def test_an_endpoint_that_failed_again_and_again_hears_no_more(tmp_path: Path, ear: Ear) -> None:
    gone = Ear()
    gone.receiver.stop()
    async with staged(tmp_path) as stage:
        token = await stage.client("acme")
        await _endpoint(stage, token, ear, events=["job.completed"])
        await stage.sql("UPDATE webhook_endpoints SET failures = 4, url = :url", url=gone.url)
        await stage.job(token)

        async def failed() -> bool:
            found = (await stage.ask("GET", "/v1/webhooks/endpoints", token)).json()["endpoints"]
            return bool(found[0]["status"] == "failed")

        await eventually(failed)


def test_what_follows_an_attempt() -> None:
    waits = (5.0, 300.0, 1800.0, 7200.0)
    assert after_attempt(204, 1, waits, 0.5).delivered
    assert after_attempt(410, 1, waits, 0.5).disable
    for attempt, wait in enumerate(waits, 1):
        for chance in (0.0, 0.999):
            found = after_attempt(None, attempt, waits, chance).wait_s
            assert found is not None
            assert wait <= found <= wait * 1.2
    assert after_attempt(302, 5, waits, 0.5).wait_s is None
    assert after_attempt(429, 1, waits, 0.0, 60.0).wait_s == 60.0


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "::", "fe80::1",
     "fc00::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "2002:a00:1::", "127.0.0.1", "::1"],
)  # fmt: skip
def test_private_and_special_addresses_are_refused(address: str) -> None:
    assert not allowed(address, "public")
    assert allowed(address, "loopback") == (address in ("127.0.0.1", "::1"))
    assert allowed("93.184.216.34", "public")


@pytest.mark.parametrize(
    "url", ["ftp://x", "http://u:p@x/", "http://x:0/", "http://x:99999/", "http:///a", "http://a b/"]
)
def test_addresses_that_cannot_be_meant_are_refused(url: str) -> None:
    with pytest.raises(TargetRefused):
        check_url(url)


async def test_the_check_is_made_on_what_the_name_resolves_to_and_that_is_called() -> None:
    async def rebinding(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.1"]

    async def honest(host: str, port: int) -> list[str]:
        return ["93.184.216.34"]

    with pytest.raises(TargetRefused, match=r"10\.0\.0\.1"):
        await target_of("https://innocent.example/x", "public", lookup=rebinding)
    target = await target_of("https://innocent.example/x?y=1", "public", lookup=honest)
    assert (target.url, target.host) == ("https://93.184.216.34:443/x?y=1", "innocent.example")
    with pytest.raises(TargetRefused, match="platform itself"):
        await target_of("http://127.0.0.1:4222/", "loopback", blocked=frozenset({4222}))


def test_signatures_are_refused_for_each_thing_that_is_wrong() -> None:
    secret, body = new_secret(b"k" * 32), b'{"a":1}'
    good = sign([secret], "msg_1", "job_1", 1000, body)
    assert faults(secret, good, body, 1000) == []
    assert faults(secret, good, body, 1301)
    assert len(faults(secret, good, body + b" ", 1000)) == 2
    assert len(faults(new_secret(b"x" * 32), good, body, 1000)) == 2
    assert faults(secret, {}, body, 1000)


def test_a_hanging_receiver_ends_with_the_test() -> None:
    ear = Ear("hang")
    ear.receiver.stop()
    assert not [t for t in threading.enumerate() if t is ear.receiver._thread and t.is_alive()]


GOOD = b"HTTP/1.1 204 No Content\r\n\r\n"


class Stranger:
    """A receiver that answers every request with the same bytes and keeps the heads that it got."""

    def __init__(self, answer: bytes) -> None:
        self.answer, self.heads = answer, list[bytes]()

    async def __aenter__(self) -> Stranger:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        await writer.drain()
        writer.close()


ANSWERS = {
    "superscript seconds": b"HTTP/1.1 503 x\r\nRetry-After: \xb2\r\n\r\n",
    "no text": b"HTTP/1.1 200 \xff\xfe\r\nX: \xff\r\n\r\n",
    "no HTTP": b"\x16\x03\x01",
    "no status": b"HTTP/1.1 99999 x\r\n\r\n",
    "no length": b"HTTP/1.1 200 x\r\nContent-Length: -5\r\n\r\n",
    "a head without end": b"HTTP/1.1 200 x\r\n" * 9000,
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_no_answer_of_a_stranger_ends_the_loop(tmp_path: Path, answer: bytes) -> None:
    async with staged(tmp_path) as stage, Stranger(answer) as stranger, Stranger(GOOD) as next_one:
        token = await stage.client("acme")
        await stage.submit(token, SIEVE | {"callbackUrl": stranger.url})
        await eventually(lambda: bool(stranger.heads))
        await stage.submit(token, SIEVE | {"callbackUrl": next_one.url})
        await eventually(lambda: len(next_one.heads) == 2)


async def test_a_connection_that_is_lost_as_it_is_made_fails_its_attempt_alone(
    tmp_path: Path, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The loop takes the socket away from a transport that is closed, and the HTTP client asks it for its peer.
    lost = iter([True])
    there = SocketStream._raw_socket.fget
    assert there is not None

    def raw_socket(one: SocketStream) -> Any:
        if next(lost, False):
            one._transport.abort()
            return None
        return there(one)

    monkeypatch.setattr(SocketStream, "_raw_socket", property(raw_socket))
    async with staged(tmp_path) as stage:
        token = await stage.client("acme")
        ear.receiver.secret = (await stage.ask("GET", "/v1/webhooks/callback-secret", token)).json()["secret"]
        await stage.submit(token, SIEVE | {"callbackUrl": ear.url})

        async def noted() -> bool:
            log = (await stage.ask("GET", "/v1/webhooks/deliveries", token)).json()["deliveries"]
            errors = [attempt.get("error") for one in log for attempt in one["attempts"]]
            return "ConnectError: the connection was lost as it was made" in errors

        await eventually(noted)
        await stage.submit(token, SIEVE | {"callbackUrl": ear.url})
        await eventually(lambda: len(ear.heard) >= 3)


async def test_an_address_that_no_header_can_hold_fails_its_delivery_alone(tmp_path: Path, ear: Ear) -> None:
    async with staged(tmp_path) as stage, Stranger(GOOD) as next_one:
        token = await stage.client("acme")
        url = ear.url.replace("127.0.0.1", "\u2460\u2461\u2466.0.0.1")
        assert (await stage.ask("POST", "/v1/webhooks/endpoints", token, {"url": url})).status_code == 422
        with pytest.raises(TargetRefused, match="ASCII"):
            check_url(url)
        await _endpoint(stage, token, ear)
        await stage.sql("UPDATE webhook_endpoints SET url = :url", url=url)
        await stage.job(token)

        async def failed() -> bool:
            log = (await stage.ask("GET", "/v1/webhooks/deliveries?state=failed", token)).json()["deliveries"]
            return len(log) == 2

        await eventually(failed)
        await stage.submit(token, SIEVE | {"callbackUrl": next_one.url})
        await eventually(lambda: len(next_one.heads) == 2)


async def test_cookies_of_one_receiver_are_not_told_to_the_next(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 204 x\r\nSet-Cookie: tracker=acme; Path=/\r\n\r\n"
    async with staged(tmp_path) as stage, Stranger(answer) as stranger:
        token = await stage.client("acme")
        await stage.submit(token, SIEVE | {"callbackUrl": stranger.url})
        await eventually(lambda: len(stranger.heads) == 2)
        assert b"tracker" not in b"".join(stranger.heads)


async def test_by_hand_nothing_is_sent_twice_at_once_nor_to_an_endpoint_that_is_gone(tmp_path: Path, ear: Ear) -> None:
    async with staged(tmp_path) as stage:
        token = await stage.client("acme")
        name = await _endpoint(stage, token, ear, events=["job.completed"])
        await stage.job(token)
        await eventually(lambda: len(ear.heard) == 1)
        log = (await stage.ask("GET", "/v1/webhooks/deliveries", token)).json()["deliveries"]
        path = f"/v1/webhooks/deliveries/{log[0]['deliveryId']}/redeliver"
        await stage.sql("UPDATE deliveries SET claimed_until = :until", until=2**62)
        assert (await stage.ask("POST", path, token)).status_code == 202
        claimed = await stage.store.read(lambda tx: tx.all("deliveries_due", now=2**53, most=9, full="[]"))
        assert claimed == []
        await stage.ask("DELETE", f"/v1/webhooks/endpoints/{name}", token)
        assert (await stage.ask("POST", path, token)).status_code == 404


def test_addresses_of_old_private_networks_are_private() -> None:
    assert [allowed("fec0::1", policy) for policy in ("public", "loopback", "private")] == [False, False, True]


async def test_receivers_that_hang_hold_no_more_than_their_tenants_share(tmp_path: Path, ear: Ear) -> None:
    deaf = Ear(fail="hang")
    try:
        async with staged(tmp_path, webhook_timeout_s=30.0) as stage:
            slow, quick = await stage.client("slow", "enterprise"), await stage.client("quick")
            await _endpoint(stage, slow, deaf, events=["job.completed"])
            await _endpoint(stage, quick, ear, events=["job.completed"])
            for _ in range(3 * TENANT_SHARE):
                await stage.submit(slow, SIEVE)
            await stage.job(slow)
            await stage.job(quick)
            await eventually(lambda: len(ear.heard) == 1)
            claimed = await stage.store.read(lambda tx: tx.all("deliveries_due", now=2**53, most=99, full='["quick"]'))
        assert sum(row["claimed_until"] > 0 for row in claimed) == TENANT_SHARE
    finally:
        deaf.receiver.stop()

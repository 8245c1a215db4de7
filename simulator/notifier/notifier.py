"""The loop that carries webhooks: claims what is due, signs, posts, and writes down how it went."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import NamedTuple

import httpx2
import msgspec

from simulator.abuse import record
from simulator.notifier.deliveries import ensure_secret, owner_of
from simulator.notifier.targets import TargetRefused, target_of
from simulator.policy.delivery import FAILED_ENDPOINT_AFTER, Verdict, after_attempt
from simulator.service import Looped, background
from simulator.store.port import Row, Store, Tx
from simulator.telemetry import Telemetry
from zjops.domain.clock import Clock
from zjops.domain.errors import UnreachableError
from zjops.domain.events import OpsKind
from zjops.domain.ids import Ids, job_id
from zjops.domain.webhooks import sign

AT_ONCE = 32
TENANT_SHARE = 8
"""How many of these one tenant may hold: receivers that hang must not keep everybody's webhooks waiting."""
CLAIM_S = 60
STRANGE = (httpx2.HTTPError, httpx2.InvalidURL, ValueError, TimeoutError, OSError)
"""What an address or an answer of a stranger's making can raise: it fails that attempt and nothing else."""


class Outcome(NamedTuple):
    """One attempt: the status that came back or what went wrong, how long it took, and the wait that was asked for."""

    status: int | None
    error: str | None
    ms: int
    retry_after_s: float | None = None


class Notifier(Looped):
    """Delivers webhooks. Several may run: a claim in the store keeps two from one delivery."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, telemetry: Telemetry, *, targets: str, waits_s: tuple[float, ...],
        timeout_s: float, poll_s: float, blocked: frozenset[int] = frozenset(),
    ) -> None:  # fmt: skip
        super().__init__("notifier")
        self._store, self._clock, self._ids, self._telemetry = store, clock, ids, telemetry
        self._targets, self._waits_s, self._timeout_s, self._poll_s = targets, waits_s, timeout_s, poll_s
        self._blocked = blocked
        self._http: httpx2.AsyncClient | None = None
        self._carried: dict[asyncio.Task[None], str] = {}

    async def stop(self) -> None:
        await super().stop()
        for task in list(self._carried):
            task.cancel()
        await asyncio.gather(*self._carried, return_exceptions=True)
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def _run(self) -> None:
        while True:
            try:
                begun = await self.begin_due()
            except UnreachableError as exc:
                self._telemetry.log("warning", "notifier waits", reason=str(exc))
                begun = 0
            if begun and len(self._carried) < AT_ONCE:
                continue
            if self._carried:
                await asyncio.wait(self._carried, timeout=self._poll_s, return_when=asyncio.FIRST_COMPLETED)
            else:
                await self._clock.sleep(self._poll_s)

    async def begin_due(self) -> int:
        """Begin with what is due now and has room; returns how many."""
        if len(self._carried) >= AT_ONCE or not self._due(await self._store.read(self._look)):
            return 0
        claimed = await self._store.transact(self._claim)
        for row, secrets in claimed:
            task = background(self._deliver(row, secrets), f"webhook {row['id']}")
            self._carried[task] = row["tenant"]
            task.add_done_callback(self._carried.pop)
        return len(claimed)

    def _look(self, tx: Tx) -> list[Row]:
        held = Counter(self._carried.values())
        full = msgspec.json.encode([name for name, count in held.items() if count >= TENANT_SHARE]).decode()
        return tx.all("deliveries_due", now=self._clock.now_ms(), most=AT_ONCE, full=full)

    def _due(self, rows: list[Row]) -> list[Row]:
        """Of what is due, that for which there is room: altogether, and in each tenant's share."""
        held = Counter(self._carried.values())
        chosen: list[Row] = []
        for row in rows:
            if len(self._carried) + len(chosen) < AT_ONCE and held[row["tenant"]] < TENANT_SHARE:
                held[row["tenant"]] += 1
                chosen.append(row)
        return chosen

    def _claim(self, tx: Tx) -> list[tuple[Row, list[str]]]:
        now = self._clock.now_ms()
        claimed = []
        for row in self._due(self._look(tx)):
            tx.run("delivery_claim", id=row["id"], until=now + CLAIM_S * 1000)
            secret = ensure_secret(tx, self._ids, owner_of(row))
            both = [secret["secret"]]
            if secret["former"] and secret["former_until"] > now:
                both.append(secret["former"])
            claimed.append((row, both))
        return claimed

    async def _deliver(self, row: Row, secrets: list[str]) -> None:
        began = self._clock.monotonic()
        try:
            outcome = await self._post(row, secrets)
        except TargetRefused as exc:
            outcome = Outcome(None, str(exc), 0)
        except STRANGE as exc:
            outcome = Outcome(None, f"{type(exc).__name__}: {exc}"[:200], 0)
        outcome = outcome._replace(ms=round((self._clock.monotonic() - began) * 1000))
        verdict = after_attempt(
            outcome.status, row["attempts"] + 1, self._waits_s, self._ids.chance(), outcome.retry_after_s
        )
        with contextlib.suppress(UnreachableError):
            # Without the store nothing can be noted: the claim ends by itself, and the attempt is made again.
            await self._store.transact(lambda tx: self._note(tx, row, outcome, verdict))
        self._telemetry.count("webhook_attempts_total", outcome="delivered" if verdict.delivered else "failed")

    async def _post(self, row: Row, secrets: list[str]) -> Outcome:
        async with asyncio.timeout(self._timeout_s):
            target = await target_of(row["url"], self._targets, blocked=self._blocked)
            headers = sign(secrets, row["id"], job_id(row["job_id"]), self._clock.now_ms() // 1000, row["body"])
            headers |= {"Content-Type": "application/json", "Host": target.host, "User-Agent": "zjops-webhooks/1"}
            extensions = {"sni_hostname": target.hostname} if target.secure else {}
            http = self._client()
            request = http.build_request(
                "POST", target.url, content=row["body"], headers=headers, extensions=extensions
            )
            try:
                # Only the head of the answer counts; its body is a stranger's and is not read.
                response = await http.send(request, stream=True)
            except AttributeError as exc:
                # So anyio ends that asks who is at the other end of a connection which was lost as it was made.
                raise httpx2.ConnectError("the connection was lost as it was made") from exc
            await response.aclose()
        return Outcome(response.status_code, None, 0, _seconds(response.headers.get("retry-after", "")))

    def _client(self) -> httpx2.AsyncClient:
        if self._http is None:
            # Strangers' cookies are not kept: they would be told to the next stranger at the same address.
            jar = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
            self._http = httpx2.AsyncClient(
                trust_env=False, follow_redirects=False, timeout=self._timeout_s, cookies=jar,
                limits=httpx2.Limits(max_connections=AT_ONCE, max_keepalive_connections=0),
            )  # fmt: skip
        return self._http

    def _note(self, tx: Tx, row: Row, outcome: Outcome, verdict: Verdict) -> None:
        now, attempt = self._clock.now_ms(), row["attempts"] + 1
        state = "delivered" if verdict.delivered else "pending" if verdict.wait_s is not None else "failed"
        next_at = None if verdict.wait_s is None else now + round(verdict.wait_s * 1000)
        tx.run("delivery_attempted", id=row["id"], state=state, next_at=next_at, attempts=attempt)
        tx.run(
            "attempt_put", delivery=row["id"], n=attempt, at=now, status=outcome.status, error=outcome.error,
            ms=outcome.ms,
        )  # fmt: skip
        if row["endpoint"] and state != "pending":
            self._judge(tx, row, state, verdict, now)

    def _judge(self, tx: Tx, row: Row, state: str, verdict: Verdict, now: int) -> None:
        """An endpoint that is gone, or that has failed again and again, hears no more until its owner says so."""
        tx.run("endpoint_counted", id=row["endpoint"], delivered=state == "delivered")
        endpoint = tx.one("endpoint_get", id=row["endpoint"], tenant=row["tenant"])
        if endpoint is None or endpoint["status"] != "active":
            return
        if verdict.disable or endpoint["failures"] >= FAILED_ENDPOINT_AFTER:
            tx.run("endpoint_failed", id=row["endpoint"], now=now)
            reason = "answered 410" if verdict.disable else f"{endpoint['failures']} deliveries in a row failed"
            record(
                tx, self._ids, self._clock, OpsKind.ACTION, actor="notifier", action="webhook.disable",
                target=row["tenant"], reason=reason, endpoint=row["endpoint"],
            )  # fmt: skip


def _seconds(text: str) -> float | None:
    """Seconds of a `Retry-After`; None for a date or what only looks like digits."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None

"""Tokens: who gets them, who loses them, and which keys sign them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from simulator.abuse import Abuse
from simulator.identity.keys import retired_kids, signing_kid
from tests.contract.stage import REVOKE, TOKEN, Stage, basic, staged
from zjops.domain.clock import ManualClock

ISSUER = "http://127.0.0.1:8080/realms/zama"


def _assertion(key: ECKey, client: str, now: int, **changes: Any) -> dict[str, str]:
    claims = {"iss": client, "sub": client, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": "1"} | changes
    text = jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key)
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return {"grant_type": "client_credentials", "client_assertion_type": kind, "client_assertion": text}


def _header(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    return found


async def test_private_key_jwt_is_taken_once_and_only_for_us(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        operator = await stage.operator()
        await stage.platform.add_tenant("acme", "pro")
        key = ECKey.generate_key("P-256", {"kid": "k1"}, private=True)
        asked = {"role": "viewer", "jwks": {"keys": [key.as_dict(private=False)]}}
        made = (await stage.ask("POST", "/v1/admin/tenants/acme/clients", operator, asked)).json()
        client, now = made["clientId"], stage.deps.clock.now_ms() // 1000
        form = _assertion(key, client, now)
        reply = await stage.http.post(TOKEN, data=form)
        assert reply.status_code == 200
        assert set(reply.json()["scope"].split()) == {"jobs:read", "jobs:outputs", "billing:read"}
        other = ECKey.generate_key("P-256", {"kid": "k1"}, private=True)
        for wrong in (
            form, _assertion(key, client, now, jti="2", aud="https://else.example"),
            _assertion(key, client, now, jti="3", exp=now - 1), _assertion(key, client, now, jti="4", exp=now + 9999),
            _assertion(other, client, now, jti="5"), _assertion(key, "nobody", now, jti="6"),
            form | {"client_assertion": "rubbish"},
        ):  # fmt: skip
            refused = await stage.http.post(TOKEN, data=wrong)
            assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


async def test_a_revoked_token_is_refused_and_strangers_cannot_revoke(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        token = await stage.client("acme")
        await stage.client("rival")
        reply = await stage.http.post(REVOKE, data={"token": token}, headers=basic("c-rival"))
        assert reply.status_code == 200
        assert (await stage.ask("GET", "/v1/jobs", token)).status_code == 200
        await stage.http.post(REVOKE, data={"token": token}, headers=basic("c-acme"))
        refused = await stage.ask("GET", "/v1/jobs", token)
        assert refused.status_code == 401
        assert 'error="invalid_token"' in refused.headers["www-authenticate"]
        fresh = await stage.token("c-acme")
        assert (await stage.ask("GET", "/v1/jobs", fresh)).status_code == 200


async def test_a_new_key_is_published_before_it_signs_and_old_tokens_stay_good(tmp_path: Path) -> None:
    async with staged(tmp_path, key_lead_s=60) as stage:
        operator = await stage.operator()
        old = await stage.client("acme")
        rotated = (await stage.ask("POST", "/v1/admin/signing-keys/rotate", operator)).json()
        published = {
            key["kid"] for key in (await stage.ask("GET", "/realms/zama/protocol/openid-connect/certs")).json()["keys"]
        }
        assert rotated["kid"] in published
        assert len(published) == 2
        header = _header(await stage.token("c-acme"))
        assert header["kid"] != rotated["kid"]
        assert header["typ"] == "at+jwt"
        await stage.sql("UPDATE signing_keys SET created_at = created_at - 61000")
        await stage.deps.issuer.keys.refresh(force=True)
        new = await stage.token("c-acme")
        assert _header(new)["kid"] == rotated["kid"]
        for token in (old, new):
            assert (await stage.ask("GET", "/v1/jobs", token)).status_code == 200


def test_which_key_signs_and_which_may_go() -> None:
    rows = [{"kid": "a", "created_at": 0}, {"kid": "b", "created_at": 1_000_000}]
    assert signing_kid(rows, 1_000_001, 60_000) == "a"
    assert signing_kid(rows, 1_060_000, 60_000) == "b"
    assert retired_kids(rows, 1_500_000, 60_000, 900_000) == []
    assert retired_kids(rows, 1_960_000, 60_000, 900_000) == ["a"]


async def test_tokens_are_strict_by_default_and_keycloaks_by_a_switch(tmp_path: Path) -> None:
    async with staged(tmp_path / "a", token_profile="keycloak") as stage:
        token = await stage.client("acme")
        assert (await stage.ask("GET", "/v1/jobs", token)).status_code == 200
    async with staged(tmp_path / "b") as strict:
        await strict.client("acme")
        assert (await strict.ask("GET", "/v1/jobs", token)).status_code == 401


async def test_reissue_and_revocation_are_in_the_audit_log_with_both_ids(stage: Stage) -> None:
    operator = await stage.operator()
    await stage.client("acme")
    await stage.token("c-acme")
    log = (await stage.ask("GET", "/v1/admin/audit-log?actor=c-acme", operator)).json()["entries"]
    assert [entry["action"] for entry in log] == ["login.success", "token.refresh"]
    assert log[1]["details"]["former"] == log[0]["details"]["jti"]


@pytest.fixture
async def stage(tmp_path: Path) -> Any:
    async with staged(tmp_path) as found:
        yield found


async def test_failed_logins_ban_the_address_and_operators_lift_it(stage: Stage) -> None:
    operator = await stage.operator()
    await stage.client("acme")
    for _ in range(20):
        await stage.http.post(TOKEN, data={"grant_type": "client_credentials"}, headers=basic("c-acme", "no"))
    banned = await stage.http.post(TOKEN, data={"grant_type": "client_credentials"}, headers=basic("c-acme"))
    assert (banned.status_code, banned.json()["code"]) == (403, "address-banned")
    assert int(banned.headers["retry-after"]) > 800
    assert (await stage.ask("DELETE", "/v1/admin/abuse/bans/198.51.100.7", operator)).status_code == 204
    assert await stage.token("c-acme")


async def test_failed_logins_count_for_all_processes_together_and_only_within_the_window(stage: Stage) -> None:
    clock = ManualClock(1_800_000_000_000)
    one, other = (Abuse(stage.store, clock, stage.deps.ids) for _ in range(2))
    for _ in range(10):
        assert not await one.failed_login("203.0.113.1")
        clock.advance(301)
    told = [await abuse.failed_login("203.0.113.2") for _ in range(10) for abuse in (one, other)]
    assert told == [False] * 19 + [True]
    bans = await stage.store.read(lambda tx: tx.all("bans_now", now=clock.now_ms()))
    assert [(row["address"], row["until"]) for row in bans] == [("203.0.113.2", clock.now_ms() + 900_000)]
    assert not await one.failed_login("203.0.113.2")


async def test_accounts_of_one_device_climb_the_ladder_share_units_and_are_pardoned(stage: Stage) -> None:
    operator = await stage.operator()
    first, second = await stage.client("one", "free"), await stage.client("two", "free")
    for device in ("d1", "d2"):
        await stage.ask("GET", "/v1/jobs", first, X_Device_Fingerprint=device)
        await stage.ask("GET", "/v1/jobs", second, X_Device_Fingerprint=device)
    view = (await stage.ask("GET", "/v1/admin/tenants/two", operator)).json()
    assert view["ladder"] in ("merge", "suspension")
    assert view["account"] == "one"
    free = await stage.ask("POST", "/v1/admin/tenants/two/pardon", operator, {"reason": "a family"})
    assert free.json()["cases"] == []
    assert (await stage.ask("GET", "/v1/admin/tenants/two", operator)).json()["account"] is None

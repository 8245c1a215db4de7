"""Changes of alerts, posted as Alertmanager does: once each, again where nobody took them, and resolved at the end."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zjops.domain.errors import UnreachableError, UsageError
from zjops.slo.alerts import Alert
from zjops.slo.notify import notify_changes

AT_MS = 1_793_000_000_000


class Receiver:
    """Takes what is posted, or refuses it."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.answer = 200
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if receiver.answer == 200:
                    receiver.taken.append(json.loads(body))
                self.send_response(receiver.answer)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/alerts"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def _burn(plan: str) -> Alert:
    labels = {"slo": "availability", "plan": plan, "window": "1h"}
    return Alert("SloBudgetBurn", "page", labels, f"availability, plan {plan}, burns", AT_MS)


def test_an_alert_is_told_when_it_begins_and_when_it_ends_and_not_in_between(
    receiver: Receiver, tmp_path: Path
) -> None:
    told = [
        notify_changes(receiver.url, alerts, tmp_path, AT_MS + after)
        for after, alerts in ((0, [_burn("pro")]), (60_000, [_burn("pro")]), (120_000, [_burn("free")]), (180_000, []))
    ]
    assert told == [1, 0, 2, 1]
    first, second, third = receiver.taken
    assert [one["status"] for one in receiver.taken] == ["firing", "firing", "resolved"]
    assert third["version"] == "4"
    (alert,) = first["alerts"]
    assert alert["labels"] == {
        "alertname": "SloBudgetBurn", "service": "zjops", "severity": "page", "slo": "availability", "plan": "pro",
        "window": "1h",
    }  # fmt: skip
    assert alert["annotations"]["runbook"] == "zjops runbook SloBudgetBurn"
    assert alert["annotations"]["opens"] == "zjops slo --plan pro --at 2026-10-26T07:33:20Z"
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-10-26T07:33:20.000Z", "0001-01-01T00:00:00Z")
    ended = next(one for one in second["alerts"] if one["status"] == "resolved")
    assert (ended["fingerprint"], ended["startsAt"]) == (alert["fingerprint"], alert["startsAt"])
    assert ended["endsAt"] == "2026-10-26T07:35:20.000Z"
    assert second["commonLabels"]["slo"] == "availability"
    assert "plan" not in second["commonLabels"]


def test_it_has_every_member_of_alertmanagers_document(receiver: Receiver, tmp_path: Path) -> None:
    notify_changes(receiver.url, [_burn("pro")], tmp_path, AT_MS)
    (document,) = receiver.taken
    assert set(document) == {
        "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels",
        "commonAnnotations", "externalURL", "alerts",
    }  # fmt: skip
    assert set(document["alerts"][0]) == {
        "status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"
    }  # fmt: skip


def test_what_nobody_took_is_told_the_next_time(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answer = 503
    with pytest.raises(UnreachableError, match="it answered 503"):
        notify_changes(receiver.url, [_burn("pro")], tmp_path, AT_MS)
    receiver.answer = 200
    assert notify_changes(receiver.url, [_burn("pro")], tmp_path, AT_MS) == 1
    assert len(receiver.taken) == 1


def test_an_address_that_is_none_or_away_is_named(receiver: Receiver, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no http"):
        notify_changes("slack", [_burn("pro")], tmp_path, AT_MS)
    with pytest.raises(UnreachableError, match="took no alerts"):
        notify_changes("http://127.0.0.1:9/", [_burn("pro")], tmp_path, AT_MS)

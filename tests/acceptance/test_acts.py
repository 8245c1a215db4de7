"""Operators' acts on a real platform: by the room that terminal and command line share, and in the audit log after."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import Cli
from tests.support.nats import eventually
from tests.support.platform import Stage, running_platform
from tests.support.terminal import Terminal
from zjops.actions.acts import Act, Door, Target
from zjops.actions.door import opened
from zjops.actions.preview import Preview, look
from zjops.actions.running import Report, Run
from zjops.actions.targets import Aimed
from zjops.client.admin import BASE, Admin
from zjops.client.webhooks import Received, Receiver, Webhooks
from zjops.domain.wire_webhooks import EndpointCreate

DEAD = {"jobType": "ml_inference", "parameters": {"algorithm": "synthetic", "failure": {"kind": "retry"}}}
LONG = {"jobType": "ml_inference", "parameters": {"algorithm": "synthetic", "duration_ms": 600_000}}
SHORT = {"jobType": "compute_heavy", "parameters": {"algorithm": "prime_sieve", "limit": 100}}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("acts")
    (folder / "home").mkdir()
    waits = {"retry_first_s": 0.05, "retry_most_s": 0.1, "webhook_waits_s": [0.05] * 4}
    (folder / "home" / "settings.json").write_text(json.dumps(waits))
    with running_platform(folder) as stage:
        yield stage


@pytest.fixture
def zjops(stage: Stage, tmp_path: Path) -> Cli:
    return Cli(stage, tmp_path / "config")


class Hand:
    """An operator and a tenant's client at once."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.admin, self.jobs = stage, Admin(stage.context), stage.jobs()

    def submit(self, body: dict[str, Any]) -> str:
        return self.jobs.submit(body).job.job_id

    async def until(self, job: str, *states: str) -> None:
        await eventually(lambda: self.jobs.status(job).status.value in states, 30)

    async def dead(self) -> str:
        """A job whose attempts are used up."""
        job = self.submit(DEAD)
        await eventually(lambda: job in self.admin.dead_letter_ids(), 30)
        return job

    def entries(self, action: str) -> list[dict[str, Any]]:
        """What the audit log holds of an action."""
        found = self.admin.http.get(f"{BASE}/audit-log", params={"action": action, "limit": 1000})
        return list(found["entries"])

    def close(self) -> None:
        self.admin.http.close()
        self.jobs.http.close()


@pytest.fixture
def hand(stage: Stage) -> Iterator[Hand]:
    hand = Hand(stage)
    yield hand
    hand.close()


def act(stage: Stage, hand: Hand, kind: Act, reason: str, *jobs: str) -> tuple[Preview, Report]:
    """By the room of code: aimed, looked at, run."""
    targets = [Target.of_view(one) for job in jobs if (one := hand.admin.job(job)) is not None]

    def door() -> Any:
        return opened(lambda: stage.context)

    with door() as open_door:
        known: Door = open_door
        preview = look(kind, Aimed(targets, len(targets)), known)
    return preview, Run(kind, preview.items, reason, door, stage.clock).go()


async def test_a_dead_letter_is_retried_and_a_job_cancelled_and_the_log_says_who_and_why(
    stage: Stage, hand: Hand
) -> None:
    dead, running = await hand.dead(), hand.submit(LONG)
    await hand.until(running, "processing")
    preview, report = act(stage, hand, Act.RETRY, "the model is back", dead, running)
    assert (preview.items, report.whole, report.done) == ((dead,), True, 1)
    assert preview.skipped == (("no dead letter: processing", 1),)
    preview, report = act(stage, hand, Act.CANCEL, "runs wild", dead, running)
    assert (preview.items, report.whole) == ((running,), True)
    assert "1 processing: told to stop, charged all the same" in preview.facts[0]
    await hand.until(running, "cancelled")
    operator = stage.context.operations().client_id
    (cancelled,) = hand.entries("job.cancel")
    assert (cancelled["actor"], cancelled["target"], cancelled["reason"]) == (operator, "crowd", "runs wild")
    assert cancelled["details"] == {"job": running, "before": "processing"}
    (retried,) = hand.entries("dead-letter.retry")
    assert (retried["actor"], retried["reason"], retried["details"]["job"]) == (operator, "the model is back", dead)
    successor = retried["details"]["successor"]
    assert successor != dead
    await hand.until(successor, "failed")
    assert dead not in hand.admin.dead_letter_ids()


async def test_the_same_by_the_command_line(stage: Stage, hand: Hand, zjops: Cli) -> None:
    dead, running, done = await hand.dead(), hand.submit(LONG), hand.submit(SHORT)
    await hand.until(running, "processing")
    await hand.until(done, "completed", "confirmed")
    made = zjops.json("jobs", "retry", dead, "--reason", "by hand", "--yes")
    assert (made["act"], made["total"], made["done"], made["reason"]) == ("retry", 1, 1, "by hand")
    status, out, err = zjops("jobs", "cancel", running, done, "--reason", "by hand", "--yes")
    assert (status, out) == (1, "cancel: done, 1 job of 1\n")
    assert "cancel 1 job of 2 chosen, in context local:" in err
    assert "skipped: already co" in err
    assert [entry["reason"] for entry in hand.entries("job.cancel")][-1] == "by hand"
    status, _, err = zjops("jobs", "retry", "--all", "--reason", "all of them", "--yes")
    assert "dead letter" in err
    assert hand.entries("dead-letter.retry")[-1]["reason"] == "all of them"


async def test_webhooks_that_failed_are_sent_again_to_where_they_went(stage: Stage, hand: Hand, zjops: Cli) -> None:
    came = queue.Queue[Received]()
    receiver = Receiver(came.put)
    receiver.start()
    try:
        hooks = Webhooks(hand.jobs.http)
        made = hooks.create(EndpointCreate(url=receiver.url))
        receiver.secret = "whsec_" + "A" * 32
        job = hand.submit(SHORT)
        await eventually(lambda: [one.state for one in hand.admin.deliveries_of([job])] == ["failed", "failed"], 30)
        receiver.secret = made.secret
        failed = [one.delivery_id for one in hand.admin.deliveries_of([job])]
        host = receiver.url.split("/")[2]
        status, out, err = zjops("webhooks", "redeliver", job, "--reason", "their key was wrong", "--yes")
        assert (status, out) == (0, "redeliver: done, 2 deliveries of 2\n")
        assert f"2 to {host}" in err
        await eventually(lambda: all(one.state == "delivered" for one in hand.admin.deliveries_of([job])), 30)
        told = hand.entries("delivery.redeliver")
        assert {entry["details"]["delivery"] for entry in told} == set(failed)
        assert {entry["reason"] for entry in told} == {"their key was wrong"}
        assert zjops("webhooks", "redeliver", failed[0], "--reason", "once more", "--yes", "-q")[0] == 0
        assert hand.entries("delivery.redeliver")[-1]["reason"] == "once more"
        hooks.delete(made.endpoint_id)
        status, out, err = zjops("webhooks", "redeliver", job, "--delivered", "--reason", "x", "--yes")
        assert (status, out) == (1, "redeliver: nothing was done\n")
        assert "endpoint of the delivery was taken away" in err
    finally:
        receiver.stop()


async def test_in_a_real_terminal(stage: Stage, hand: Hand, tmp_path: Path) -> None:
    running = hand.submit(LONG)
    await hand.until(running, "processing")
    terminal = Terminal({"ZJOPS_HOME": str(stage.home), "XDG_CONFIG_HOME": str(tmp_path)}, "top")
    try:
        terminal.until("LIVE")
        terminal.press("2")
        terminal.until(running)
        terminal.press("\x0b")
        terminal.until("cancel 1 job of 1 chosen")
        terminal.press("seen to hang\r")
        terminal.until("do it")
        terminal.press("y")
        terminal.until("cancel: done, 1 job of 1")
        terminal.press("q")
        terminal.until("newest first")
        await hand.until(running, "cancelled")
        terminal.press("h")
        terminal.until("pause the relayer")
        terminal.press("drill\r")
        terminal.until("do it")
        terminal.press("y")
        terminal.until("pause: done")
        terminal.press("q")
        terminal.until("newest first")
    finally:
        hand.admin.pause_relayer(False, "the drill is over")
        assert terminal.close() == 0
    assert hand.entries("job.cancel")[-1]["reason"] == "seen to hang"
    assert hand.entries("relayer.pause")[-1]["reason"] == "drill"


class TestRefusals:
    """One line each, and nothing is done."""

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("jobs", "retry"), "name dead letters, or --all of them"),
            (("jobs", "retry", "--all", "job_x", "--reason", "x"), "name dead letters, or --all of them"),
            (("jobs", "retry", "--all"), "say why: the reason goes into the audit log"),
            (("jobs", "retry", "--all", "--reason", " "), "say why: the reason goes into the audit log"),
            (("jobs", "retry", "job_x", "--reason", "x"), "there is no job job_x in context local"),
            (("jobs", "cancel", "job_x", "job_y"), "to cancel several jobs is an operator's act"),
            (("webhooks", "redeliver", "msg_x", "msg_y"), "an operator says why with --reason"),
            (("webhooks", "redeliver", "msg_x", "job_y", "--reason", "x"), "name deliveries or jobs, not both"),
            (("webhooks", "redeliver", "msg_x", "--delivered", "--reason", "x"), "--delivered goes with jobs"),
        ],
    )
    def test_of_what_cannot_be(self, zjops: Cli, arguments: tuple[str, ...], said: str) -> None:
        status, out, err = zjops(*arguments)
        assert (status, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1

    async def test_without_a_yes_where_nobody_can_be_asked(self, hand: Hand, zjops: Cli) -> None:
        job = hand.submit(LONG)
        await hand.until(job, "pending", "processing")
        status, out, err = zjops("jobs", "cancel", job, "--reason", "x")
        assert (status, out) == (2, "")
        assert "nothing was done: say --yes" in err
        assert zjops("jobs", "cancel", job, "--reason", "x", "--yes", "-q")[0] == 0

    def test_a_delivery_that_there_is_not(self, zjops: Cli) -> None:
        found = zjops.json("webhooks", "redeliver", "msg_none", "--reason", "x", "--yes", code=1)
        assert (found["done"], found["refused"]) == (0, {"not-found": 1})

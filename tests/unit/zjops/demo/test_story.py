"""The demo's acts beside a terminal, and where its talk goes meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from zjops.demo import story as stories
from zjops.demo.acts import Act
from zjops.demo.story import Story
from zjops.demo.talk import Talk
from zjops.demo.world import World
from zjops.domain.clock import ManualClock
from zjops.domain.errors import UnreachableError
from zjops.tui.applog import Logs

AT_MS = 1_795_680_000_000


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def world(tmp_path: Path, said: list[str]) -> Iterator[World]:
    world = World(tmp_path / "home", tmp_path, said.append)
    yield world
    world.close()


def _holds(world: World) -> None:
    world.check("it holds", True, "really")


def _away(world: World) -> None:
    raise UnreachableError("the API is away")


def _bug(world: World) -> None:
    raise ZeroDivisionError


class TestStory:
    """The acts."""

    def test_an_act_that_does_not_end_well_is_a_check_that_did_not_hold(
        self, world: World, said: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stories, "ACTS", (Act("One", _holds), Act("Two", _away), Act("Three", _holds)))
        story = Story(world)
        story.play(lambda: said.append("Enter"))
        assert [check.ok for check in world.checks] == [True, False, True]
        assert said[:3] == ["Enter", "\n1. One", "  ✓ it holds: really"]
        assert "  ✗ two: the API is away" in said
        assert story.told() == "demo: 2 of 3 checks held; q to end"

    def test_beside_a_terminal_it_tells_how_far_it_is(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        reached, go_on = threading.Event(), threading.Event()

        def waits(world: World) -> None:
            reached.set()
            assert go_on.wait(30)

        monkeypatch.setattr(stories, "ACTS", (Act("One", _holds), Act("Two", _away), Act("Three", waits)))
        story = Story(world)
        assert story.told() == "demo: about to begin"
        story.begin()
        story.begin()
        assert reached.wait(30)
        assert story.told() == "demo 3 of 3: Three; 1 checks held, 1 BROKEN"
        assert not story.ended
        go_on.set()
        story.finish()
        assert story.ended
        assert len(world.checks) == 2, "it was played once"

    def test_what_breaks_it_is_raised_where_its_end_is_waited_for(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stories, "ACTS", (Act("One", _bug),))
        story = Story(world)
        story.begin()
        with pytest.raises(ZeroDivisionError):
            story.finish()
        assert story.told() == "demo: it broke off; q to end"

    def test_a_terminal_that_was_left_before_it_began_leaves_it_to_be_played(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stories, "ACTS", (Act("One", _holds),))
        Story(world).finish()
        assert len(world.checks) == 1


class TestTalk:
    """To the screen, or to the logs."""

    def test_while_the_screen_is_taken_it_is_in_the_platforms_logs(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        talk = Talk(ManualClock(AT_MS))
        talk.say("before")
        with talk.to_logs(tmp_path):
            talk.say("\n1. Three tenants")
            talk.say("  ✗ audit: 1 lost")
        talk.say("after")
        assert capsys.readouterr().out == "before\nafter\n"
        entries = [entry for entry, _ in Logs(tmp_path / "log" / "app").newest(AT_MS)]
        assert sorted((one.service, one.level, one.message) for one in entries) == [
            ("demo", "error", "✗ audit: 1 lost"), ("demo", "info", "1. Three tenants"),
        ]  # fmt: skip

    def test_json_has_no_talk(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        talk = Talk(ManualClock(AT_MS), quiet=True)
        talk.say("hello")
        assert capsys.readouterr().out == ""

    def test_an_entry_is_one_line(self, tmp_path: Path) -> None:
        talk = Talk(ManualClock(AT_MS))
        with talk.to_logs(tmp_path):
            talk.say("a\nb")
        (line,) = (tmp_path / "log" / "app" / "demo.jsonl").read_text().splitlines()
        assert msgspec.json.decode(line)["message"] == "a\nb"

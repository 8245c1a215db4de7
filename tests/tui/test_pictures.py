"""Every view as it looks at 80x24 and 160x50, dark and light, and with sixteen colours."""

from __future__ import annotations

import re
from contextlib import nullcontext

import pytest
from textual.widgets import Input

from tests.tui.conftest import Make, settled
from tests.tui.picture import FOLDER, same_picture, text_of
from tests.tui.test_breaking import ToldControl
from tests.unit.zjops.actions.doors import ToldDoor
from tests.unit.zjops.recording.told import job_id
from zjops.tui.commands import VIEWS

SIZES = {"80x24": (80, 24), "160x50": (160, 50)}
SHOWN = 300


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_looks_as_it_did(make: Make, view: str, size: str, theme: str) -> None:
    app = make(theme=theme)
    async with app.run_test(size=SIZES[size]) as pilot:
        await settled(app, pilot)
        app.open_view(view, job_id(SHOWN) if view == "job" else None)
        await settled(app, pilot)
        same_picture(app, f"{view}-{size}-{theme}")


async def test_sixteen_colours(make: Make) -> None:
    app = make(theme="16")
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        same_picture(app, "overview-80x24-16")


async def test_help_and_a_bad_filter(make: Make) -> None:
    app = make()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "slash", *"age>soon")
        await settled(app, pilot)
        same_picture(app, "filter-80x24-dark")
        await pilot.press("escape", "question_mark")
        await settled(app, pilot)
        same_picture(app, "help-80x24-dark")


async def test_the_preview_of_an_act_and_its_last_question(make: Make) -> None:
    app = make(at_ms=None, operator=lambda: nullcontext(ToldDoor()))
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        await pilot.press("2", "space", "space", "asterisk")
        await settled(app, pilot)
        same_picture(app, "marks-80x24-dark")
        await pilot.press("ctrl+k")
        await settled(app, pilot)
        # A cursor that blinks would be there or not.
        app.screen.query_one(Input).cursor_blink = False
        await settled(app, pilot)
        same_picture(app, "act-80x24-dark")
        await pilot.press(*"drill", "enter")
        await settled(app, pilot)
        same_picture(app, "act-asked-80x24-dark")


async def test_what_can_be_broken(make: Make) -> None:
    app = make(at_ms=None, control=lambda: nullcontext(ToldControl()))
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(app, pilot)
        await pilot.press("colon", *"break", "enter", "j", "j")
        await settled(app, pilot)
        same_picture(app, "break-80x24-dark")


def test_pictures_load_nothing_from_elsewhere_and_hold_no_control_character() -> None:
    pictures = sorted(FOLDER.glob("*.svg"))
    assert len(pictures) >= len(VIEWS) * 4
    for path in pictures:
        svg = path.read_text()
        assert re.findall(r"https?://(?!www\.w3\.org/)", svg) == [], path.name
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", "".join(text_of(svg))), path.name

"""Who may come in."""

from __future__ import annotations

import pytest

from zjops.domain.clock import ManualClock
from zjops.domain.ids import SeededIds
from zjops.web.door import Door


@pytest.fixture
def door() -> Door:
    return Door(8100, SeededIds(ManualClock(0), 1))


def _token(door: Door) -> str:
    return door.url.partition("?token=")[2]


class TestToken:
    """It is good once."""

    def test_buys_the_cookie_the_first_time_and_is_dead_then(self, door: Door) -> None:
        token = _token(door)
        cookie = door.exchange(token)
        assert door.knows(cookie)
        assert door.exchange(token) is None
        assert door.url == "http://127.0.0.1:8100/"

    def test_is_hard_to_guess_and_not_the_cookie(self, door: Door) -> None:
        token = _token(door)
        assert len(token) == 43, "256 bits"
        assert door.exchange(token) != token

    @pytest.mark.parametrize("wrong", ["", "x", "\u00e9\udcff"])
    def test_any_other_buys_nothing_and_spoils_nothing(self, door: Door, wrong: str) -> None:
        assert door.exchange(wrong) is None
        assert door.exchange(_token(door)) is not None

    def test_before_it_is_used_no_cookie_is_good(self, door: Door) -> None:
        known = Door(8100, SeededIds(ManualClock(0), 1))
        cookie = known.exchange(_token(known))
        assert not door.knows(cookie)
        assert not door.knows(None)
        assert not door.knows("")

    def test_two_servers_have_two_cookies(self, door: Door) -> None:
        assert door.cookie_name != Door(8101, SeededIds(ManualClock(0), 2)).cookie_name


@pytest.mark.parametrize(
    ("hosts", "known"),
    [
        pytest.param(["127.0.0.1:8100"], True, id="the address that is printed"),
        pytest.param(["LOCALHOST:8100"], True, id="its other name"),
        pytest.param(["127.0.0.1"], False, id="no port"),
        pytest.param(["127.0.0.1:8101"], False, id="another port"),
        pytest.param(["evil.example:8100"], False, id="a name that leads here"),
        pytest.param(["127.0.0.1.evil.example:8100"], False, id="a name that begins like ours"),
        pytest.param(["127.0.0.1:8100", "evil.example"], False, id="two names"),
        pytest.param([], False, id="no name"),
    ],
)
def test_the_names_that_it_goes_by(door: Door, hosts: list[str], known: bool) -> None:
    assert door.names(hosts) is known


@pytest.mark.parametrize(
    ("origins", "own"),
    [
        pytest.param(["http://127.0.0.1:8100"], True, id="its own page"),
        pytest.param(["http://localhost:8100"], False, id="its page by another name"),
        pytest.param(["https://127.0.0.1:8100"], False, id="another scheme"),
        pytest.param(["http://127.0.0.1:3000"], False, id="another program of this machine"),
        pytest.param(["null"], False, id="a page without an origin"),
        pytest.param(["http://127.0.0.1:8100", "http://evil.example"], False, id="two origins"),
        pytest.param([], False, id="no browser"),
    ],
)
def test_the_pages_that_may_open_a_terminal(door: Door, origins: list[str], own: bool) -> None:
    assert door.own_page(origins, ["127.0.0.1:8100"]) is own

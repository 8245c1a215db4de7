"""`zjops top --web` as a browser meets it: a real server over a real recording, and a WebSocket client."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.terminal import WITHIN_S
from tests.unit.zjops.recording.told import START, life, recorded
from zjops.recording.changes import Changes

ADDRESS = re.compile(rb"""(?:https?:|wss?:)?//[a-z0-9][a-z0-9.-]*\.[a-z]{2,}""", re.IGNORECASE)


class Web:
    """A server and what its first visitor got."""

    def __init__(self, recording: Path, *options: str, **extra: str) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith("ZJOPS_") and k not in ("TERM", "NO_COLOR")}
        argv = [sys.executable, "-m", "zjops", "top", "--web", "--replay", str(recording), *options]
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=env | {"XDG_CONFIG_HOME": str(recording.parent)} | extra, start_new_session=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.link = self.process.stdout.readline().strip()
        found = re.fullmatch(r"http://(127\.0\.0\.1:\d+)/\?token=[\w-]{43}", self.link)
        assert found is not None, self.link or self.process.communicate()
        self.host = found[1]
        self.cookie = ""

    def get(self, path: str = "/", **headers: str) -> httpx2.Response:
        given = ({"cookie": self.cookie} if self.cookie else {}) | headers
        return httpx2.get(f"http://{self.host}{path}", headers=given)

    def enter(self) -> httpx2.Response:
        """Use the link, as the first browser does."""
        answer = httpx2.get(self.link)
        (morsel,) = SimpleCookie(answer.headers["set-cookie"]).values()
        self.cookie = f"{morsel.key}={morsel.value}"
        return answer

    @contextmanager
    def page(self, *, origin: str | None = "", cookie: str | None = None) -> Iterator[Page]:
        """Open a terminal as the page does."""
        headers = {"Cookie": self.cookie if cookie is None else cookie}
        asked: Any = f"http://{self.host}" if origin == "" else origin
        url = f"ws://{self.host}/terminal?width=100&height=30"
        with connect(url, origin=asked, additional_headers=headers) as socket:
            yield Page(socket)

    def programs(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """The exit code, and what was said on standard error."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=WITHIN_S)
        return self.process.returncode, err


class Page:
    """The terminal of a page, without its picture: what was drawn, less what only moves and colours."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.drawn = ""

    def until(self, pattern: str) -> str:
        deadline = time.monotonic() + WITHIN_S
        while (found := re.search(pattern, self.drawn)) is None:
            assert time.monotonic() < deadline, f"{pattern} was not drawn:\n{self.drawn[-2_000:]}"
            part = self.socket.recv(timeout=WITHIN_S)
            assert isinstance(part, bytes)
            self.drawn += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", part.decode("utf-8", "replace"))
        self.drawn = self.drawn[found.end() :]
        return found[0]

    def say(self, *message: object) -> None:
        self.socket.send(json.dumps(message))

    def closed(self) -> int:
        """Read to the end; the code that it was closed with."""
        with suppress(ConnectionClosedError):
            for _ in self.socket:
                pass
        assert self.socket.close_code is not None
        return self.socket.close_code


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    changes = Changes()
    for number in range(20):
        life(changes, number, accepted=START, started=START + 100, ended=START + 200)
    recording = recorded(tmp_path_factory.mktemp("web"), [changes], START + 1_000)
    recording.close()
    return recording.path


@pytest.fixture(scope="module")
def web(recording: Path) -> Iterator[Web]:
    """One that has been entered."""
    web = Web(recording)
    web.enter()
    yield web
    assert web.end() == (0, "the link works once, in one browser on this machine; stop with Ctrl-C\n")


@pytest.fixture
def fresh(recording: Path) -> Iterator[Web]:
    """One whose end is the test's own matter."""
    web = Web(recording, "--port", "8150")
    yield web
    if web.process.poll() is None:
        web.end()


class TestDoor:
    """Who gets in."""

    def test_the_link_works_once_and_leaves_no_token_in_the_address(self, fresh: Web) -> None:
        refused = fresh.get()
        assert (refused.status_code, refused.text.count("\n")) == (401, 1)
        assert "zjops top --web" in refused.text
        assert httpx2.head(fresh.link).status_code == 401, "what only looks at a link does not use it up"
        first = fresh.enter()
        assert (first.status_code, first.headers["location"]) == (303, "/")
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(first.headers["set-cookie"].split("; "))
        assert fresh.get().status_code == 200
        again = httpx2.get(fresh.link)
        assert (again.status_code, again.headers.get("set-cookie")) == (401, None)
        held = httpx2.get(fresh.link, headers={"cookie": fresh.cookie})
        assert (held.status_code, held.headers["location"]) == (303, "/"), "the first browser may come by it again"

    @pytest.mark.parametrize("path", ["/", "/static/textual.js", "/static/page.js", "/nothing"])
    def test_nothing_is_served_without_the_cookie(self, web: Web, path: str) -> None:
        assert web.get(path, cookie="").status_code == 401
        assert web.get(path, cookie=web.cookie[:-1]).status_code == 401

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:8100", "127.0.0.1", "0.0.0.0:8100"])
    def test_another_name_is_refused_with_the_cookie_too(self, web: Web, host: str) -> None:
        assert web.get("/", host=host).status_code == 403

    def test_another_name_does_not_use_up_the_link(self, fresh: Web) -> None:
        assert httpx2.get(fresh.link, headers={"host": "evil.example"}).status_code == 403
        assert fresh.enter().status_code == 303

    @pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:3000", "null", None])
    def test_another_page_opens_no_terminal(self, web: Web, origin: str | None) -> None:
        with pytest.raises(InvalidStatus) as refused, web.page(origin=origin):
            pytest.fail("it was let in")
        assert refused.value.response.status_code == 403
        assert web.programs() == []

    def test_nor_does_a_page_without_the_cookie(self, web: Web) -> None:
        with pytest.raises(InvalidStatus) as refused, web.page(cookie="zjops_top_8100=guessed"):
            pytest.fail("it was let in")
        assert refused.value.response.status_code == 401
        assert web.programs() == []

    def test_a_taken_port_shifts(self, fresh: Web, recording: Path) -> None:
        other = Web(recording, "--port", fresh.host.rpartition(":")[2])
        assert other.host != fresh.host
        assert other.end()[0] == 0


def test_open_opens_the_link_in_a_browser(recording: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "asked")
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/asked\n')
    browser.chmod(0o700)
    web = Web(recording, "--open", BROWSER=f"{browser} %s")
    assert (tmp_path / "asked").read_text() == f"{web.link}\n"
    assert web.end()[0] == 0


def test_where_there_is_no_browser_it_says_so(recording: Path) -> None:
    web = Web(recording, "--open", BROWSER="/nonexistent/browser %s", PATH="/nonexistent", DISPLAY="")
    assert web.process.stderr is not None
    assert "the link works once" in web.process.stderr.readline()
    assert web.process.stderr.readline() == "no browser was found here to open it in\n"
    assert web.end()[0] == 0


class _Loads(HTMLParser):
    """What a page loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value and value != "data:,"]


class TestPage:
    """What is served."""

    def test_the_page_and_what_it_loads_are_this_servers_alone(self, web: Web) -> None:
        page = web.get()
        loads = [*_Loads(page.text).found, "/static/mono.ttf", "/static/mono-italic.ttf", "/static/textual.js"]
        assert len(loads) == 6
        for path in loads:
            answer = web.get(path)
            assert answer.status_code == 200, path
            if not path.endswith(".ttf"):
                assert ADDRESS.findall(re.sub(rb"/\*.*?\*/", b"", answer.content, flags=re.DOTALL)) == [], path
        assert ADDRESS.findall(page.content) == []
        assert re.findall(rb"fetch\([^)]*\)", web.get("/static/textual.js").content) == [
            b'fetch(this.ping,{method:"GET",mode:"no-cors"})'
        ], "only where the address of the page asks for it, which its policy forbids"

    def test_every_answer_says_what_a_browser_must_not_do(self, web: Web) -> None:
        for answer in (web.get(), web.get("/static/page.js"), web.get(cookie=""), web.get(host="evil.example")):
            policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == "'self'"
            assert policy["frame-ancestors"] == "'none'"
            assert policy["connect-src"] == f"'self' ws://{web.host} ws://{web.host.replace('127.0.0.1', 'localhost')}"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "server" not in answer.headers

    def test_nothing_else_is_there(self, web: Web) -> None:
        for path in ("/static/index.html", "/static/..%2f..%2fdoor.py", "/docs", "/download/x"):
            assert web.get(path).status_code == 404


class TestTerminal:
    """The same terminal as without a browser."""

    def test_it_is_drawn_takes_keys_and_fits_the_page(self, web: Web) -> None:
        with web.page() as page:
            page.until("Pipeline")
            page.say("ping", "17")
            while isinstance(told := page.socket.recv(timeout=WITHIN_S), bytes):
                pass
            assert json.loads(told) == ["pong", "17"]
            page.say("blur")
            page.say("focus")
            page.say("stdin", "2")
            page.until("jobs, newest first")
            page.say("resize", {"width": 40, "height": 10})
            page.until("needs 60x15, this is 40x10")

    def test_a_second_page_of_the_same_browser_has_one_of_its_own(self, web: Web) -> None:
        with web.page() as one, web.page() as other:
            one.until("Pipeline")
            other.until("Pipeline")
            assert len(web.programs()) == 2
            one.say("stdin", "?")
            one.until("Keys of overview")
            other.say("stdin", "2")
            other.until("jobs, newest first")
            assert "Keys of" not in other.drawn

    def test_q_ends_it(self, web: Web) -> None:
        with web.page() as page:
            page.until("Pipeline")
            page.say("stdin", "q")
            assert page.closed() == 1000

    def test_it_ends_with_its_page(self, fresh: Web) -> None:
        fresh.enter()
        with fresh.page() as page:
            page.until("Pipeline")
            (program,) = fresh.programs()
        program.wait(WITHIN_S)

    @pytest.mark.parametrize(
        "message",
        [
            "{",
            "[]",
            "[" * 100_000,
            '["stdin"]',
            '["stdin", 1]',
            '["run", "sh"]',
            '["resize", {"width": "a"}]',
            b"bytes",
        ],
        ids=["cut off", "empty", "deep", "no text", "a number", "another", "no size", "bytes"],
    )
    def test_a_message_that_no_page_sends_ends_it(self, web: Web, message: str | bytes) -> None:
        with web.page() as page:
            page.socket.send(message)
            assert page.closed() == 1003

    def test_there_are_only_so_many(self, fresh: Web) -> None:
        fresh.enter()
        with ExitStack() as pages:
            for _ in range(8):
                pages.enter_context(fresh.page())
            with fresh.page() as more:
                more.until("8 terminals are open here, which is the most")
                assert more.closed() == 1013
        psutil.wait_procs(fresh.programs(), WITHIN_S)
        with fresh.page() as again:
            again.until("Pipeline")


class TestEnd:
    """Nothing outlives the server."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_asked_to_end_it_ends_its_terminals_and_in_order(self, fresh: Web, number: int) -> None:
        fresh.enter()
        with fresh.page() as page:
            page.until("Pipeline")
            programs = fresh.programs()
            code, err = fresh.end(number)
        assert (code, err.count("\n")) == (0, 1)
        assert programs
        assert not any(program.is_running() for program in programs)

    def test_killed_it_takes_them_along(self, fresh: Web) -> None:
        fresh.enter()
        with fresh.page() as page:
            page.until("Pipeline")
            programs = fresh.programs()
            assert programs
            fresh.end(signal.SIGKILL)
        assert psutil.wait_procs(programs, WITHIN_S)[1] == []


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--plain",), 2, "--plain is for a pipe and --web for a browser"),
        (("--theme", "mauve"), 2, "--theme is one of dark, light"),
        (("--replay", "none.zjrec"), 2, "recording none.zjrec cannot be read"),
        (("--home", "nothing"), 3, "start one with: zjops up"),
    ],
)
def test_what_no_page_could_show_is_refused_at_once(
    tmp_path: Path, options: tuple[str, ...], code: int, said: str
) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("ZJOPS_")} | {"XDG_CONFIG_HOME": str(tmp_path)}
    argv = [sys.executable, "-m", "zjops", "top", "--web", *options]
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert said in done.stderr

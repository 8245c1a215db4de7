"""The application: the door, the page, the files that it loads and the socket of its terminal."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from zjops.domain.errors import UsageError
from zjops.web.door import Door
from zjops.web.sessions import Sessions

ASK = "This terminal opens by the link that zjops top --web printed, once. For a new link, start it again.\n"
NOT_HERE = "This server goes by 127.0.0.1 or localhost and its own port; forward it on the same port.\n"
NOT_FROM_THERE = "Only a page of this server may open its terminal.\n"
FILES = {
    "page.css": ("zjops.web", "static/page.css", "text/css; charset=utf-8"),
    "page.js": ("zjops.web", "static/page.js", "text/javascript; charset=utf-8"),
    "xterm.css": ("textual_serve", "static/css/xterm.css", "text/css; charset=utf-8"),
    "textual.js": ("textual_serve", "static/js/textual.js", "text/javascript; charset=utf-8"),
    "mono.ttf": ("textual_serve", "static/fonts/RobotoMono-VariableFont_wght.ttf", "font/ttf"),
    "mono-italic.ttf": ("textual_serve", "static/fonts/RobotoMono-Italic-VariableFont_wght.ttf", "font/ttf"),
}
"""Everything that the page loads: the package that holds it, where in it, and what it is."""


class Guard:
    """Outermost: no request by another name, no terminal for another page, nothing without the cookie."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, _guarded(send, self._door.port))
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(refusal)
        else:
            await refusal(scope, receive, _guarded(send, self._door.port))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if not self._door.names(hosts):
            return PlainTextResponse(NOT_HERE, 403)
        if scope["type"] == "websocket" and not self._door.own_page(headers.getlist("origin"), hosts):
            return PlainTextResponse(NOT_FROM_THERE, 403)
        request = Request({**scope, "type": "http"})
        if self._door.knows(request.cookies.get(self._door.cookie_name)) or _brings_token(request):
            return None
        return PlainTextResponse(ASK, 401)


def _brings_token(request: Request) -> bool:
    return request.scope.get("method") == "GET" and request.url.path == "/" and "token" in request.query_params


def _guarded(send: Send, port: int) -> Send:
    """Every answer says that nothing of it may be kept, framed, sent on or mixed with anything from elsewhere."""
    policy = (
        "default-src 'none'; script-src 'self'; font-src 'self'; img-src 'self' data:; "
        # The terminal in the page writes its colours and sizes into style elements of its own.
        "style-src 'self' 'unsafe-inline'; "
        f"connect-src 'self' ws://127.0.0.1:{port} ws://localhost:{port}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    added = {
        "Content-Security-Policy": policy, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }  # fmt: skip

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(added)
        await send(message)

    return guarded


def application(door: Door, sessions: Sessions) -> ASGIApp:
    """Everything that is served. Raises `UsageError` where a file of it is missing."""
    served = {name: (_bytes(package, path), kind) for name, (package, path, kind) in FILES.items()}
    page = _bytes("zjops.web", "static/index.html")

    async def index(request: Request) -> Response:
        token = request.query_params.get("token")
        if token is None:
            return Response(page, media_type="text/html; charset=utf-8")
        return _admitted(door, token, request)

    async def file(request: Request) -> Response:
        found = served.get(request.path_params["name"])
        return Response("not found\n", 404) if found is None else Response(found[0], media_type=found[1])

    routes = [
        Route("/", index, methods=["GET"]),
        Route("/static/{name}", file, methods=["GET"]),
        WebSocketRoute("/terminal", sessions.serve),
    ]
    return Guard(Starlette(routes=routes), door)


def _admitted(door: Door, token: str, request: Request) -> Response:
    """The cookie for the token, and in either case an address without it."""
    cookie = door.exchange(token)
    if cookie is None and not door.knows(request.cookies.get(door.cookie_name)):
        return PlainTextResponse(ASK, 401)
    answer = RedirectResponse("/", 303)
    if cookie is not None:
        answer.set_cookie(door.cookie_name, cookie, httponly=True, samesite="strict", path="/")
    return answer


def _bytes(package: str, path: str) -> bytes:
    try:
        found: Traversable = files(package)
        return found.joinpath(path).read_bytes()
    except (ImportError, OSError) as exc:
        raise UsageError(f"{path} of {package} is missing here; install what is pinned again: make test") from exc

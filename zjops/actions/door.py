"""The door of a platform that runs, opened for one preview or one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from zjops.actions.acts import Door
from zjops.client.admin import Admin
from zjops.client.http import Http
from zjops.client.oauth import ClientCredentials
from zjops.config import Context

WITHIN_S, TRIES = 10.0, 2
"""Whoever stops a run does not wait for long."""


@contextmanager
def opened(context: Callable[[], Context]) -> Iterator[Door]:
    """As the operator of a context that is asked for anew: a platform may have been started anew meanwhile."""
    found = context()
    auth = ClientCredentials(found.token_url, found.operations())
    with closing(Http(found.api_url, auth=auth, timeout_s=WITHIN_S, tries=TRIES, notify=_quiet)) as http:
        yield Admin(found, http)


def _quiet(text: str) -> None:
    """Warnings of the API have no place on a screen that is drawn."""

"""What every view may use: the recording, and the ports to what is not in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zjops.actions.acts import Opener
from zjops.feed.messages import Verdict
from zjops.recording.reader import Recording
from zjops.tui.applog import Logs

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from zjops.client.control import Control


@dataclass
class Station:
    """One recording and what belongs to it.

    `details` fetches a job with its result and deliveries from the platform, and is None where there is none to ask;
    `verify` checks its proof against the chain; `logs` are the platform's own, where they lie on this machine.
    `replayed` is the speed of a recording that is played; `incidents` is the folder for incident folders. `operator`
    opens the door for acts and is None without operator credentials; elsewhere than on this machine they need
    `allow_actions`; `read_only` says why there are none at all. `says` tells, for the footer, what else this process is
    at; `control` opens the supervisor's control API, and is None where there is none.
    """

    recording: Recording
    context: str
    local: bool = True
    details: Callable[[str], dict[str, Any] | None] | None = None
    verify: Callable[[str], Verdict] | None = None
    logs: Logs | None = None
    replayed: float | None = None
    incidents: Path | None = None
    operator: Opener | None = None
    allow_actions: bool = False
    read_only: str | None = None
    says: Callable[[], str] = str
    control: Callable[[], AbstractContextManager[Control]] | None = None

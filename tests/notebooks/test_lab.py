"""zjops notebook starts a real JupyterLab: on loopback, on copies, with nothing that asks the network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

pytest.importorskip("jupyterlab", reason="JupyterLab is not installed; install it with: make notebooks")

from zjops.cli.notebook import QUIET_LAB, shipped


def _server(runtime: Path, process: subprocess.Popen[str]) -> dict[str, Any]:
    """What JupyterLab has written down when it tells where that can be opened."""
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if "jpserver-" in line:
            return dict(json.loads(next(runtime.glob("jpserver-*.json")).read_text()))
    raise AssertionError("".join(told))


@pytest.mark.timeout(240)
def test_it_serves_copies_on_loopback_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    log, home, runtime = tmp_path / "log", tmp_path / "home", tmp_path / "runtime"
    log.mkdir()
    apart = {"JUPYTER_RUNTIME_DIR": str(runtime), "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
             "JUPYTER_DATA_DIR": str(tmp_path / "data"), "IPYTHONDIR": str(tmp_path / "ipython"),
             "PYTHONPATH": str(Path(__file__).parents[2])}  # fmt: skip
    asked = ["-m", "zjops", "notebook", "usage", "--no-browser", "--log", str(log), "--home", str(home)]
    process = subprocess.Popen(
        [sys.executable, *asked], env=os.environ | apart, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    try:
        server = _server(runtime, process)
        # It listens a moment after it has told where.
        with httpx2.Client(base_url=server["url"], transport=httpx2.HTTPTransport(retries=8), timeout=30) as http:
            assert http.get("api/contents").status_code == 403, "nobody enters without the token"
            head = {"Authorization": f"token {server['token']}"}
            files = http.get("api/contents", headers=head).json()["content"]
            page = http.get("lab", headers=head).text
        held = psutil.Process(server["pid"]).net_connections("tcp")
        assert {one.laddr.ip for one in held if one.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
        assert [file["name"] for file in files] == ["01_usage_and_invoices.ipynb"]
        assert json.loads(page.split('id="jupyter-config-data" type="application/json">')[1].split("</script>")[0])[
            "news"
        ] == {"disabled": True}
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
        assert not psutil.pid_exists(server["pid"])
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert (home / "notebooks" / "01_usage_and_invoices.ipynb").read_bytes() == shipped()[0].read_bytes()


def test_it_asks_nobody_for_updates() -> None:
    from jupyterlab.handlers.announcements import NeverCheckForUpdate
    from jupyterlab.labapp import LabApp

    app = LabApp()
    app.parse_command_line(list(QUIET_LAB))
    assert app.check_for_updates_class is NeverCheckForUpdate
    assert app.news_url is None
    assert app.extension_manager == "readonly"

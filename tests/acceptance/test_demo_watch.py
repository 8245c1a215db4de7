"""`zjops demo --watch` in a real terminal: the acts are played while it shows them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.terminal import WITHIN_S, Terminal
from zjops.domain.runfile import read_run_file


def test_the_terminal_shows_the_acts_and_stays_until_q(tmp_path: Path) -> None:
    terminal = Terminal({"XDG_CONFIG_HOME": str(tmp_path), "TMPDIR": str(tmp_path)}, "demo", "--watch")
    try:
        home = Path(re.split(" in ", terminal.until(r"the platform is up: [\d.]+ s, in \S+"))[1])
        terminal.until("LIVE")
        terminal.until(r"demo \d+ of 12: [^;]+; \d+ checks held")
        assert home.is_dir()
        terminal.press("8")
        terminal.until(r"demo +[^\n]*(✓|\d+\. )")
        terminal.until(r"demo (8|9|1[0-2]) of 12: ")
        terminal.until(r"demo (9|1[0-2]) of 12: |17 of 17 checks held; q to end")
        terminal.press("?")
        terminal.until("Time machine")
        terminal.press("\x1b")
        terminal.until("17 of 17 checks held; q to end")
        terminal.press("q")
        terminal.until(r"✓ held +nothing lost, doubled or billed twice")
        terminal.until(r"17 of 17 checks held in [\d.]+ s")
        assert terminal.process.wait(WITHIN_S) == 0
    finally:
        if terminal.process.poll() is None:
            terminal.process.terminate()
            terminal.process.wait(WITHIN_S)
    assert not home.exists(), "platform and folder are gone"


def test_ended_from_outside_it_takes_its_platform_along(tmp_path: Path) -> None:
    terminal = Terminal({"XDG_CONFIG_HOME": str(tmp_path), "TMPDIR": str(tmp_path)}, "demo", "--watch")
    home = Path(re.split(" in ", terminal.until(r"the platform is up: [\d.]+ s, in \S+"))[1])
    supervisor = psutil.Process(read_run_file(home).supervisor_pid)
    terminal.until(r"demo \d+ of 12: ")
    terminal.process.terminate()
    assert terminal.close() == 130
    assert not supervisor.is_running()
    assert not home.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--watch",), "error: --watch needs a terminal; without one: zjops demo\n"),
        (("--watch", "--json"), "error: --watch takes the screen: neither --json nor --step goes with it\n"),
        (("--watch", "--step"), "error: --watch takes the screen: neither --json nor --step goes with it\n"),
    ],
)
def test_without_a_screen_of_its_own_it_is_refused(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "zjops", "demo", *options], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, env=os.environ | {"XDG_CONFIG_HOME": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)

"""What must hold of the repository itself."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_requirements_are_hashed_and_name_no_address() -> None:
    text = (ROOT / "requirements.txt").read_text()
    assert "://" not in text
    pinned = re.findall(r"^[A-Za-z0-9_.\-\[\]]+==", text, re.MULTILINE)
    assert len(pinned) > 50
    assert text.count("--hash=sha256:") >= len(pinned)


def test_every_make_command_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert named
    assert named <= targets


def test_ci_runs_the_readmes_test_command_and_then_the_checks() -> None:
    lines = (ROOT / ".ci/run").read_text().splitlines()
    assert lines[-2:] == ["make test", "make check"]


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_readmes_state_diagram_is_the_transitions_table() -> None:
    from zjops.domain.jobs import TRANSITIONS

    text = (ROOT / "README.md").read_text()
    drawn = set(re.findall(r"^ {4}(\w+) --> (\w+)$", text, re.MULTILINE))
    assert drawn == {(before.value, after.value) for before, afters in TRANSITIONS.items() for after in afters}


def test_no_committed_file_names_a_machine_path() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    # A folder called home below another is none of a machine's.
    pattern = re.compile(r"(?<![\w.*])/(home|root|Users|work)/[a-z]")
    here = Path(__file__).relative_to(ROOT).as_posix()
    files = [f for f in listed.stdout.split() if f != here and (ROOT / f).is_file()]
    assert [f for f in files if pattern.search((ROOT / f).read_text(errors="ignore"))] == []


def test_the_package_supports_the_pythons_it_promises() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.15"
    assert "(3, 11) <= sys.version_info < (3, 15)" in (ROOT / "Makefile").read_text()
    assert "(3, 11) <= sys.version_info[:2] <= (3, 14)" in (ROOT / "zjops/cli/doctor.py").read_text()

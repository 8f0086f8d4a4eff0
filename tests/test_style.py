"""The code's own checks: ruff, formatting, types, and what may not be in a public tree."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", [("ruff", "check"), ("ruff", "format", "--check")])
def test_ruff(command):
    result = run(*command, "--no-cache", ".")
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
def test_types(tmp_path):
    """On the installed package, from outside the checkout: mypy does not see the mapped folders otherwise."""
    import edgekit

    if Path(edgekit.__file__).is_relative_to(ROOT / "toolkit"):
        pytest.skip("edgekit is installed editable: mypy needs a normal install (pip install .)")
    packages = ("-p", "edgekit", "-p", "edgekit_runtime")
    result = run("mypy", "--config-file", str(ROOT / "pyproject.toml"), *packages, cwd=tmp_path)
    assert result.returncode == 0, result.stdout


def test_readme_commands_are_the_ones_that_ci_runs():
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r"^python3 -m venv .*$", readme, re.MULTILINE)
    assert commands[0].endswith(".venv/bin/edgekit export --device jetson")
    assert commands[1].endswith(".venv/bin/python -m pytest")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_links_in_docs_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("toolkit/**/*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"

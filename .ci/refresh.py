"""Takes the newest releases that pyproject.toml allows: python3 .ci/refresh.py, then uv run pytest.

Writes two lists: the constraints in pyproject.toml, by which `uv run` and `uv sync` choose, and deploy/requirements.txt
with hashes, by which an image is built. Neither has addresses, so any index or mirror serves. Needs uv.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
PROJECT = TOP / "pyproject.toml"
BLOCK = re.compile(r"(?<=^constraint-dependencies = \[\n)(?:    .*\n)*(?=\]$)", re.MULTILINE)
GROUPS = ("dev", "browser", "load", "fuzz", "deploy", "docs")
COMPILE = ("uv", "pip", "compile", "--quiet", "--universal", "--upgrade", "--no-header", "--no-annotate")


def main() -> None:
    """Writes both lists; the project keeps its old one when no set of releases fits the bounds."""
    before = PROJECT.read_text(encoding="utf-8")
    PROJECT.write_text(with_constraints(before, []), encoding="utf-8")
    try:
        found = compiled("--all-extras", *(word for group in GROUPS for word in ("--group", group)))
    except subprocess.CalledProcessError:
        PROJECT.write_text(before, encoding="utf-8")
        raise
    PROJECT.write_text(with_constraints(before, found.splitlines()), encoding="utf-8")
    (TOP / "deploy/requirements.txt").write_text(
        compiled("--extra", "brotli", "--generate-hashes"), encoding="utf-8"
    )


def compiled(*options: str) -> str:
    """What uv chooses: one release a line, with the condition under which it is needed."""
    command = [*COMPILE, *options, "pyproject.toml"]
    return subprocess.run(command, cwd=TOP, check=True, capture_output=True, text=True).stdout


def with_constraints(project: str, lines: list[str]) -> str:
    """The text of pyproject.toml with these lines for constraints."""
    quoted = "".join(f'    "{line}",\n' for line in lines)
    text, count = BLOCK.subn(lambda _: quoted, project)
    if count != 1:
        raise ValueError("pyproject.toml must have one list constraint-dependencies")
    return text


if __name__ == "__main__":
    main()

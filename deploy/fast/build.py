"""The build hook of the wheel: with GATEWAY_FAST=1 the hot modules go in compiled, beside their sources.

Compiles a copy in a temporary folder, so that nothing is left in a checkout: a library there would be loaded in the
place of a source that was changed since. An editable install is never compiled, for the same reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VARIABLE = "GATEWAY_FAST"
NEEDED = ["mypy>=2.4,<3", "setuptools>=75,<90"]
"""What compiling needs beside a C compiler; pip and uv install it for the time of the build."""


class FastBuild(BuildHookInterface[Any]):  # type: ignore[misc]  # hatchling is there while it builds
    """Compiles if it is asked to."""

    def dependencies(self) -> list[str]:
        return NEEDED if _is_wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not _is_wanted() or version == "editable":
            return
        self._folder = Path(tempfile.mkdtemp(prefix="gateway-fast-"))
        libraries = _compile(Path(self.root), self._folder)
        build_data["force_include"].update({str(path): name for name, path in libraries.items()})
        build_data["pure_python"], build_data["infer_tag"] = False, True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_folder"):
            shutil.rmtree(self._folder, ignore_errors=True)


def _is_wanted() -> bool:
    return os.environ.get(VARIABLE, "") not in ("", "0")


def _compile(root: Path, folder: Path) -> dict[str, Path]:
    """Compiles a copy of the package; the libraries, by their place in the wheel."""
    shutil.copytree(
        root / "gateway", folder / "gateway", ignore=shutil.ignore_patterns("__pycache__", "*.so")
    )
    for source in ("send.c", "ring.h"):
        shutil.copy(root / "deploy" / "fast" / source, folder)
    here = Path(__file__).parent / "compile.py"
    ran = subprocess.run([sys.executable, here], cwd=folder, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{ran.stdout}\n{ran.stderr}\n{VARIABLE}=1: not compiled, for the reason above.")
    built = folder / "built"
    return {str(path.relative_to(built)): path for path in sorted(built.rglob("*.so"))}

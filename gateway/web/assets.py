"""The page's own files, named by their content: `/assets/main.<hash>.js`, which browsers keep and never ask for again.

Owns the names, and that each module imports the others by theirs: a page is of one release, or of another, never of
both. A name of another release gets the file of this one, to be asked for again: during a rolling restart the page of
one worker may fetch its modules from the next.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from gateway.web.static_files import ASKED_ABOUT, TYPES, StaticFile

FOR_EVER = "public, max-age=31536000, immutable"
HASH_LETTERS = 12
FROM = re.compile(r"(?<=\bfrom ')(\.[^']+)(?=')")
"""What a module imports, by its place in the folder."""
PATTERN = rf"/assets/{{name:[a-z]+}}.{{hash:[0-9a-f]{{{HASH_LETTERS}}}}}.{{kind:[a-z]+}}"


class Assets:
    """All files of a page. `paths` has, for each file of the folder, its path below that of the page."""

    def __init__(self, folder: Path, names: tuple[str, ...], headers: Mapping[str, str]) -> None:
        """`names` are those of files in the folder; what a module imports is one of them. No two have one last part."""
        self.paths: dict[str, str] = {}
        self._files: dict[str, tuple[str, StaticFile]] = {}
        self._folder, self._headers = folder, headers
        for name in names:
            self._take(name)

    def _take(self, name: str) -> str:
        """Names a file once all that it imports have their names."""
        if name not in self.paths:
            body = (self._folder / name).read_bytes()
            if name.endswith(".js"):
                body = self._with_names(name, body.decode()).encode()
            stem, kind = posixpath.splitext(posixpath.basename(name))
            named = f"{stem}.{hashlib.sha256(body).hexdigest()[:HASH_LETTERS]}{kind}"
            self.paths[name] = f"assets/{named}"
            self._files[stem + kind] = (named, StaticFile(body, TYPES[kind], self._headers, FOR_EVER))
        return self.paths[name]

    def _with_names(self, name: str, text: str) -> str:
        def renamed(found: re.Match[str]) -> str:
            imported = posixpath.normpath(posixpath.join(posixpath.dirname(name), found[1]))
            return f"./{posixpath.basename(self._take(imported))}"

        return FROM.sub(renamed, text)

    def attach(self, app: web.Application, prefix: str) -> None:
        """Serves them below a prefix."""
        app.router.add_get(f"{prefix}{PATTERN}", self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        asked = request.match_info
        named, file = self._files.get(f"{asked['name']}.{asked['kind']}", ("", None))
        if file is None:
            raise web.HTTPNotFound
        is_this_one = named == f"{asked['name']}.{asked['hash']}.{asked['kind']}"
        return file.answer_as(request, FOR_EVER if is_this_one else ASKED_ABOUT)

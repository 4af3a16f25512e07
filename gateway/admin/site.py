"""The dashboard over HTTP, at `<prefix>/admin`; off unless a key with the scope `admin` in all rooms exists.

Owns who is let in and what each path does. Promises that nothing is shown or done for who is not signed in; that
what is done came from a page of the dashboard (the cookie is SameSite=Strict, the browser says which site it comes
from, and each form brings a token); and that whatever a request holds is answered.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

import structlog
from aiohttp import web

from gateway.access.addresses import Addresses
from gateway.access.api_keys import ApiKey, ApiKeys
from gateway.admin import views
from gateway.admin.actions import DONE, action_of
from gateway.admin.files import Files
from gateway.admin.html import el
from gateway.admin.looking import Looking
from gateway.admin.pages import Frame, page, sign_in
from gateway.admin.requests import answer, form_of, refuse_other_sites, see_other
from gateway.admin.signing import COOKIE, LIFE_S, Signed, Signing, may_sign_in, shared_secret
from gateway.admin.stream import Streams
from gateway.errors import StoreError
from gateway.names import normal_form
from gateway.option_groups import ServerOptions
from gateway.protocol import ERRORS, Refusal
from gateway.transport.paths import BLAMELESS, serve_path

log = structlog.get_logger("gateway.admin")

PATH = "/admin"

AddressOf = Callable[[web.Request], str | None]
Handler = Callable[[web.Request, Signed], Awaitable[web.StreamResponse]]


class Site:
    """The dashboard of one worker."""

    def __init__(
        self, server: ServerOptions, keys: ApiKeys, addresses: Addresses, address_of: AddressOf
    ) -> None:
        """`address_of` says where a request comes from; None where nobody who is trusted says it."""
        self.is_on = any(may_sign_in(each.key) for each in keys.configured)
        self.base = f"{server.path_prefix}{PATH}"
        self._keys = keys
        self._addresses = addresses
        self._address_of = address_of
        self._signing = Signing(keys, shared_secret(server.run_dir) if self.is_on else b"")
        self._files = Files(self.base)
        self._streams = Streams()
        self._looking: Looking | None = None
        self._methods: views.Methods | None = None

    def attach(self, app: web.Application) -> None:
        """Serves it, if it is on."""
        if not self.is_on:
            return
        signed = {"": self._overview, "/room": self._room, "/user": self._user, "/events": self._events}
        for path, handler in signed.items():
            serve_path(app, "GET", f"{self.base}{path}", self._for_signed(handler))
        for path, handler in (("/do", self._do), ("/sign-out", self._sign_out)):
            serve_path(app, "POST", f"{self.base}{path}", self._for_signed(handler))
        serve_path(app, "POST", f"{self.base}/sign-in", self._sign_in)
        self._files.attach(app)

    def start(self, looking: Looking, methods: views.Methods) -> None:
        """The worker has what the pages show."""
        self._looking, self._methods = looking, methods

    def begin_drain(self) -> None:
        """Streams end; browsers come back to another worker."""
        self._streams.end()

    # -- who is let in

    def _for_signed(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            signed = self._signing.read(request.cookies.get(COOKIE, ""), time.time())
            if signed is None:
                is_page = request.method == "GET" and not request.path.rstrip("/").endswith("/events")
                return answer(
                    sign_in(self._frame()), 200 if is_page and request.path.rstrip("/") == self.base else 401
                )
            try:
                if request.method == "POST":
                    refuse_other_sites(request)
                return await handler(request, signed)
            except Refusal as refusal:
                return self._fault(signed, refusal.sentence, ERRORS[refusal.code].http_status)
            except StoreError as error:
                return self._fault(signed, f"Redis does not answer: {error}.", 503)

        return handle

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        """Takes a key. A wrong one draws on what its address may get wrong, as at the server API."""
        try:
            refuse_other_sites(request)
            key = self._key_of(request, (await form_of(request)).get("key", "").strip())
        except Refusal as refusal:
            frame = self._frame()._replace(said=refusal.sentence, is_fault=True)
            return answer(sign_in(frame), ERRORS[refusal.code].http_status)
        log.info("admin_signed_in", key=key.name)
        response = see_other(self.base)
        self._remember(request, response, self._signing.begin(key, time.time()))
        return response

    def _key_of(self, request: web.Request, presented: str) -> ApiKey:
        key = self._keys.find(presented) if presented else None
        if key is not None and may_sign_in(key):
            return key
        address, now_s = self._address_of(request), time.monotonic()
        if shut_out_s := self._addresses.shut_out_s(address, now_s):
            raise Refusal("rate_limited", retry_after_ms=shut_out_s * 1000)
        if key is not None:
            raise Refusal("forbidden", "This key has not the scope 'admin' in all rooms.")
        self._addresses.failed(address, now_s)
        raise Refusal("unauthorized", "This is no key of this gateway.")

    def _remember(self, request: web.Request, response: web.StreamResponse, signed: Signed) -> None:
        is_secure = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
        response.set_cookie(
            COOKIE, self._signing.cookie(signed), max_age=LIFE_S, path=self.base, httponly=True,
            samesite="Strict", secure=is_secure,
        )  # fmt: skip

    async def _sign_out(self, request: web.Request, signed: Signed) -> web.StreamResponse:
        await self._form(request, signed)
        response = see_other(self.base)
        response.del_cookie(COOKIE, path=self.base)
        return response

    async def _form(self, request: web.Request, signed: Signed) -> dict[str, str]:
        """The fields of a form of ours. Raises Refusal."""
        form = await form_of(request)
        if not self._signing.is_form_token(signed, form.get("token", "")):
            raise Refusal("forbidden", "This form is not from this page, or an old one. Load the page again.")
        return form

    # -- pages

    async def _overview(self, request: web.Request, signed: Signed) -> web.StreamResponse:
        return await self._show(request, signed, self._view("overview", ""))

    async def _room(self, request: web.Request, signed: Signed) -> web.StreamResponse:
        return await self._show(request, signed, self._view("room", request.query.get("name", "")))

    async def _user(self, request: web.Request, signed: Signed) -> web.StreamResponse:
        return await self._show(request, signed, self._view("user", request.query.get("id", "")))

    async def _events(self, request: web.Request, signed: Signed) -> web.StreamResponse:
        view = self._view(request.query.get("view", ""), request.query.get("of", ""))
        frame = self._frame(signed)
        response = self._streams.response()
        renewed = self._signing.renewed(signed, time.time())
        self._remember(request, response, renewed)
        await self._streams.run(request, response, lambda: view.regions(frame, signed.key), signed.until_s)
        return response

    def _view(self, kind: str, name: str) -> views.View:
        """One of the three views. Raises Refusal."""
        assert self._looking is not None  # nothing is served before the worker has started
        assert self._methods is not None
        if kind == "overview":
            return views.Overview(self._looking)
        if not name or len(name) > views.NAME_MAX:
            raise Refusal("not_found")
        name = normal_form(name)
        if kind == "room":
            return views.Room(self._looking, self._methods, name, urlencode({"view": "room", "of": name}))
        if kind == "user":
            return views.User(self._looking, name, urlencode({"view": "user", "of": name}))
        raise Refusal("not_found")

    async def _show(self, request: web.Request, signed: Signed, view: views.View) -> web.StreamResponse:
        frame = self._frame(signed)
        said = request.query.get("said", "")
        if said in DONE:
            frame = frame._replace(said=DONE[said])
        body = view.body(frame, signed.key, await view.regions(frame, signed.key))
        response = answer(page(frame, view.title, f"{self.base}/events?{view.stream}", body))
        self._remember(request, response, self._signing.renewed(signed, time.time()))
        return response

    # -- what is done

    async def _do(self, request: web.Request, signed: Signed) -> web.StreamResponse:
        assert self._methods is not None
        action = action_of(await self._form(request, signed), time.time())
        await self._methods.call(action.method, signed.key, action.fields)
        log.info("admin_acted", key=signed.key.name, method=action.method, room=action.fields.get("room"))
        return see_other(f"{self.base}{action.back}&said={action.method}")

    def _frame(self, signed: Signed | None = None) -> Frame:
        frame = Frame(self.base, self._files.css, self._files.js)
        if signed is None:
            return frame
        return frame._replace(name=signed.key.name, token=self._signing.form_token(signed))

    def _fault(self, signed: Signed, sentence: str, status: int) -> web.Response:
        frame = self._frame(signed)._replace(said=sentence, is_fault=True)
        back = el("p", el("a", "Back to the overview", href=self.base))
        response = answer(page(frame, "Refused", "", back), status)
        response[BLAMELESS] = True
        return response

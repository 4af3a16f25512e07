"""The official Admin UI, put together for one worker, and how it learns of all the others."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.access.addresses import Addresses
from gateway.access.api_keys import ApiKeys
from gateway.admin.signing import may_sign_in, shared_secret
from gateway.admin.ui import AdminUi
from gateway.admin.ui_credentials import UiCredentials
from gateway.admin.ui_facts import SERVER, Facts
from gateway.admin.ui_stats import Look, Told
from gateway.chat.inspection import HasState
from gateway.chat.questions import Questions
from gateway.settings import Settings
from gateway.state.census import Census


def admin_ui_of(settings: Settings, keys: ApiKeys, addresses: Addresses) -> AdminUi | None:
    """It, if it is on."""
    if not settings.admin_ui.is_on:
        return None
    return AdminUi(UiCredentials(keys, shared_secret(settings.server.run_dir)), addresses)


class AllWorkers:
    """What workers say of themselves, asked by the channel that the dashboard asks by."""

    def __init__(self, questions: Questions, census: Census, facts: Facts, me: HasState) -> None:
        self._questions = questions
        self._census = census
        self._facts = facts  # this worker's own
        self._me = me

    async def of_all(self) -> Look:
        """What the workers that live answered. Raises a StoreError."""
        living = await self._census.living()
        answers = await self._questions.ask(SERVER, living)
        return Look(living, {worker: answers[worker] for worker in living if worker in answers})

    async def own(self) -> tuple[str, Told]:
        """This worker's id, and what it says, whether Redis is there or not."""
        return self._me.worker, await self._facts.told({})


def ui_lines(settings: Settings, keys: ApiKeys) -> Iterator[tuple[str, str]]:
    """Lines (heading, text) about it, for `gateway check`."""
    if not settings.admin_ui.is_on:
        return
    if any(may_sign_in(each.key) for each in keys.configured):
        yield "admin ui", "on, in the namespace /admin: whoever reaches the clients' port can try a key there"
    else:
        why = "no API key has the scope 'admin' in all rooms: it cannot connect"
        yield "warning", f"GATEWAY_ADMIN_UI=on is set, and {why}."

"""All options of one gateway, read from the environment, whose only reader this is.

A bad value raises `SettingsError` with the variable's name and what is allowed. `gateway docs` prints what stands in
the groups (`option_groups.py`, `limit_options.py`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gateway.admin_ui_options import AdminUiOptions
from gateway.api_key_options import ApiKeyOptions
from gateway.api_options import ApiOptions
from gateway.client_bundle_options import ClientBundleOptions
from gateway.identity_options import IdentityOptions
from gateway.limit_options import LimitOptions
from gateway.option_groups import (
    AccessOptions,
    EmbeddedOptions,
    EngineOptions,
    LogOptions,
    PresenceOptions,
    PublishOptions,
    RedisOptions,
    ServerOptions,
    Sizes,
)
from gateway.option_pairs import contradictions
from gateway.option_types import Option, SettingsError, options_of
from gateway.page_options import PageOptions
from gateway.send_hook_options import SendHookOptions
from gateway.tracing_options import TracingOptions
from gateway.unknown_options import refuse_unknown
from gateway.webhook_options import WebhookOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All options of one gateway, checked. `_s` is seconds, `_bytes` bytes; the rest are counts or words."""

    server: ServerOptions = field(default_factory=ServerOptions)
    redis: RedisOptions = field(default_factory=RedisOptions)
    embedded: EmbeddedOptions = field(default_factory=EmbeddedOptions)
    limits: Sizes = field(default_factory=Sizes)
    publish: PublishOptions = field(default_factory=PublishOptions)
    presence: PresenceOptions = field(default_factory=PresenceOptions)
    engine: EngineOptions = field(default_factory=EngineOptions)
    identity: IdentityOptions = field(default_factory=IdentityOptions)
    access: AccessOptions = field(default_factory=AccessOptions)
    api_keys: ApiKeyOptions = field(default_factory=ApiKeyOptions)
    api: ApiOptions = field(default_factory=ApiOptions)
    webhooks: WebhookOptions = field(default_factory=WebhookOptions)
    rates: LimitOptions = field(default_factory=LimitOptions)
    send_hook: SendHookOptions = field(default_factory=SendHookOptions)
    page: PageOptions = field(default_factory=PageOptions)
    client_bundle: ClientBundleOptions = field(default_factory=ClientBundleOptions)
    admin_ui: AdminUiOptions = field(default_factory=AdminUiOptions)
    tracing: TracingOptions = field(default_factory=TracingOptions)
    log: LogOptions = field(default_factory=LogOptions)

    def __post_init__(self) -> None:
        for is_wrong, sentence in contradictions(self):
            if is_wrong:
                raise SettingsError(sentence)

    @property
    def has_page(self) -> bool:
        """Whether there is a page at `/`: unless told, while nobody is kept out or nothing but a first try can be
        meant."""
        is_a_try = self.identity.auth == "off" or self.redis.url is None
        return self.page.page == "on" or (self.page.page == "auto" and is_a_try)

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] | None = None, given: Mapping[str, str] | None = None
    ) -> Settings:
        """Reads the environment (the process's own if none is given); variables in `given` win over it. An empty
        variable counts as not set. A variable that looks like an option and is none is refused."""
        variables = {**(os.environ if environment is None else environment), **(given or {})}
        refuse_unknown(
            variables, {each.variable for _, _, options in grouped_options() for _, each in options}
        )
        groups: dict[str, Any] = {}
        for group in fields(cls):
            kind: Callable[..., Any] = group.default_factory  # type: ignore[assignment]
            groups[group.name] = kind(**dict(_read(kind, variables)))
        return cls(**groups)


def _read(group: Any, variables: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Field and value of all options of a group that have a variable."""
    for name, each in options_of(group):
        if text := variables.get(each.variable):
            yield name, each.read(text)


def grouped_options() -> Iterator[tuple[str, str, list[tuple[str, Option]]]]:
    """Every group: its name in `Settings`, what it is about (its docstring), and its options."""
    for group in fields(Settings):
        kind: Any = group.default_factory
        yield group.name, kind.__doc__, list(options_of(kind))


def variable_of(option: str) -> str:
    """The environment variable that sets an option, named by its place: `redis.url`."""
    wanted, _, field_name = option.partition(".")
    options = next(options for name, _, options in grouped_options() if name == wanted)
    return dict(options)[field_name].variable

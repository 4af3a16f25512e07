"""What is done with each block of code on the pages: `PAGES[page][beginning of one of its lines]`."""

from __future__ import annotations

from tests.support.pages import By, Data, How, NotRun, Program, Shell

TALK, MODERATION = "tests/system/test_talk.py", "tests/system/test_moderation.py"
IDENTITY, WEBHOOKS = "tests/server/test_identity_docs.py", "tests/server/test_webhook_docs.py"
PAGE = "tests/system/test_page.py"
TRACING = "tests/system/test_tracing.py"
DJANGO = "tests/system/test_django_docs.py"
API, BLOCKS = "tests/server/test_server_api_docs.py", "tests/test_page_blocks.py"
INSTALLS = NotRun("installs from the network; `.ci/run` does it by this line (tests/test_packaging.py)")
SYSTEMD = NotRun("needs systemd and root; the unit is checked by tests/test_deploy_files.py")
CLUSTER = NotRun("needs a Kubernetes cluster; what is applied is checked by tests/test_kubernetes.py")
DOCKER = NotRun("needs a Docker engine; the files are checked by tests/test_deploy_files.py")
WATCHING = By("tests/system/test_operators.py", "test_the_page_shows_what_its_commands_show")
PICTURE = NotRun("a picture")
REQUEST = NotRun("shows a request; that this is sent is tested where the hook is")
JS = "import { io } from 'socket.io-client';\n"
IN_THE_LOBBY = (
    f"{JS}const socket = io('http://localhost:8006');\n"
    "await socket.emitWithAck('join', { username: 'Cleo', room: 'lobby' });"
)
CONSOLE = Program(
    says="ok: true, id:",
    after="\nconsole.log(await socket.emitWithAck('send', { room: 'lobby', message: 'again' }));",
)
SECRETS = 'umask 077; echo "2026-11:$(openssl rand -base64 32)" > chat-secrets'
SIGNS = f"export GATEWAY_AUTH=required GATEWAY_TOKEN_SECRETS_FILE=chat-secrets; {SECRETS}"
RULES = 'printf \'[[room]]\\nmatch = "**"\\njoin = "anyone"\\n\' > rooms.toml'
GATEWAY_TOML = "sed -n '/^```toml/,/^```$/p' $REPOSITORY/docs/rooms.md | sed '1d;/^```$/,$d' > gateway.toml"
"""Writes the first rules of docs/rooms.md."""

PAGES: dict[str, dict[str, How]] = {
    "README.md": {
        "python3 -m pip install --target": INSTALLS,
        '<script type="module">': By(PAGE, "test_a_page_of_another_origin_takes_the_module_as_the_documents_say"),
        "const { io } = await import": CONSOLE,
        "import asyncio, socketio": Program(says="'ok': True, 'id'"),
        "socketio.RedisManager(": NotRun("a line to be filled in; docs/clients.md has it whole"),
        "GATEWAY_AUTH=required GATEWAY_TOKEN": Shell(
            ("serves",), f"{SECRETS}; mv chat-secrets secrets; {RULES}"
        ),
        "REDIS_URL=redis://… WEB_CONCURRENCY=4": Shell(("serves", "serves", "ends")),
        "uv run pytest -n 2": NotRun("these tests"),
    },
    "deploy/README.md": {
        "python3.11 -m venv": SYSTEMD,
        "systemd-run -qtG": SYSTEMD,
        "systemctl restart gateway": SYSTEMD,
        "docker compose -f": DOCKER,
        "kubectl create secret": CLUSTER,
    },
    "docs/admin.md": {"gateway key new --name me": Shell(("ends",))},
    "docs/architecture.md": {"clients (Socket.IO, any language)": PICTURE},
    "docs/capacity.md": {
        "uv run python -m loadtest.capacity": Shell(("ends",)),
        "deliveries    20,000": By("tests/test_capacity.py", "test_the_page_shows_what_its_command_says"),
    },
    "docs/chat-js.md": {
        '<script type="module">': By(PAGE, "test_a_page_of_another_origin_takes_the_module_as_the_documents_say"),
        "token: async ()": By(PAGE, "test_a_page_shows_the_tokens_of_its_application_as_the_document_says"),
    },
    "docs/clients.md": {
        "auth: (show) => show({ join:": Program(
            says="joined true",
            before=f"{JS}const room = 'lobby', me = 'Ada', lastId = null;",
            after="\nsocket.on('joined', (answer) => console.log('joined', answer.ok));",
        ),
        "import { io } from 'socket.io-client';": Program(
            says="said true",
            after="\nconst said = await send('Hello');\nconsole.log('said', said.ok);",
        ),
        "import asyncio": Program(says="'ok': True, 'id'"),
        "// typing": By(TALK, "test_the_recipe_for_typing_shows_who_types_and_takes_it_away"),
        "// unread": By(TALK, "test_the_recipe_for_unread_counts_marks_and_comes_back"),
        "gateway client-bundle": NotRun("fetches from the network; tests/system/test_client_bundle.py is about it"),
        "outside = socketio.RedisManager": Program(says="emitted", after="\nprint('emitted')"),
    },
    "docs/from-node.md": {
        "let lastId;": Program(
            says="joined true",
            before=f"{JS}const url = 'http://localhost:8006';",
            after="\nsocket.on('joined', (answer) => console.log('joined', answer.ok));",
        ),
    },
    "docs/identity.md": {
        "GATEWAY_AUTH=optional uv run gateway": Shell(("serves",), "unset REDIS_URL"),
        "uv run gateway token new --sub 42": Shell(("ends",), SIGNS),
        "umask 077": Shell(("ends", "ends", "serves")),
        "# flask_app.py": By(IDENTITY, "test_the_flask_application_of_the_page_mints_a_token_that_counts"),
        "# views.py": By(DJANGO, "test_the_view_of_the_page_mints_a_token_that_counts"),
        "async function chatToken()": Program(
            says="I am Ada until",
            before=f"{JS}const fetch = async () => ({{ ok: true, json: () => ({{ token: process.env.TOKEN }}) }});",
        ),
        "openssl genpkey": Shell(("ends", "ends", "serves")),
        "GATEWAY_JWKS_URL=": Data("options"),
        "GATEWAY_CONNECT_HOOK=": Data("options"),
    },
    "docs/join.md": {
        "import { io } from": Program(says="Ada: Hello from JavaScript"),
        "import socketio": Program(says="Ben: Hello from Python"),
        "import io.socket.client.Ack": Program(says="Cleo: Hello from Java"),
        "import SocketIO": NotRun("needs Swift, and its client from GitHub"),
    },
    "docs/limits.md": {
        "async function say(data)": Program(
            says="answered 40",
            before=(
                f"{IN_THE_LOBBY}\n"
                "let answered = 0;\nconst emitWithAck = socket.emitWithAck.bind(socket);\n"
                "socket.emitWithAck = async (...all) => { const answer = await emitWithAck(...all);\n"
                "  if (answer.ok) console.log('answered', ++answered); return answer; };"
            ),
        ),
        "GATEWAY_TRUSTED_PROXIES=10.0.0.5": Shell(("serves",)),
    },
    "docs/many-hosts.md": {"host one    host two": PICTURE},
    "docs/metrics.md": {
        "prometheus --config.file": NotRun(
            "runs for ever; tests/system/test_alerts.py has the file checked, and scrapes by it"
        )
    },
    "docs/moderation.md": {
        "uv run gateway key new": Shell(("ends",)),
        "GATEWAY_API_KEYS='backend:": NotRun("the hash is to be filled in; test_moderation starts one so"),
        "api() {": By(MODERATION, "test_the_example_of_the_page_does_what_it_says"),
        'const answer = await socket.emitWithAck("mute"': Program(
            says="forbidden",
            before=IN_THE_LOBBY,
            after="\nconsole.log(answer.code);  // a guest has no grant",
        ),
        '{"room": "lobby", "id"': Data("json"),
        '{"room": "lobby", "code"': Data("json"),
        "edit_s = 300": Data("toml"),
    },
    "docs/operations.md": {
        "$ curl http://localhost:8006/readyz": Shell(("ends",), serves_already=True),
        '{"timestamp":': Data("json"),
    },
    "docs/options.md": {"redis://[user": NotRun("the form of addresses; tests/test_redis_url.py has examples of each")},
    "docs/protocol.md": {
        '{"ok": true, "rooms"': Data("json"),
        '{"message": "Hello"': Data("json"),
        '{"room": "lobby", "kind": "typing"': Data("json"),
        '{"room": "lobby", "id"': Data("json"),
        '{"message": "Join the room first."': Data("json"),
    },
    "docs/python-client.md": {
        "import asyncio": By("tests/server/test_client_docs.py", "test_the_first_program_says_hello"),
    },
    "docs/revocation.md": {
        "GATEWAY_AUTH=optional uv run gateway": Shell(("serves",), "unset REDIS_URL"),
        "TOKEN=$(uv run": Shell(("ends",), SIGNS),
        "$ uv run gateway ban": Shell(("ends", "ends", "ends"), serves_already=True),
    },
    "docs/rooms.md": {
        'match = "announcements:**"': Data("toml"),
        "$ GATEWAY_CONFIG=gateway.toml gateway explain announcements": Shell(("ends",), GATEWAY_TOML),
        "$ GATEWAY_CONFIG=gateway.toml gateway explain interview": Shell(("ends",), GATEWAY_TOML),
        'match = "stadium:**"': Data("toml"),
        '{"sub": "42"': Data("json"),
        "POST /may-join": REQUEST,
        '{"allow":': Data("json"),
        "def may_join()": By(BLOCKS, "test_the_hook_of_the_page_lets_in_who_is_invited"),
        'moderation = "children"': By(TALK, "test_the_filter_of_the_page_changes_and_refuses_messages"),
        "POST /may-say": REQUEST,
        "# may_say": By(TALK, "test_the_filter_of_the_page_changes_and_refuses_messages"),
        "Error: gateway.toml, line 3": By(
            "tests/access/test_config_file.py", "test_the_error_of_the_page_is_what_is_said"
        ),
    },
    "docs/scaling.md": {
        "REDIS_URL=redis://127.0.0.1:6379/0 WEB_CONCURRENCY=4": Shell(("serves",)),
        "GATEWAY_FAST=1 pip install .": NotRun("compiles; tests/system/test_fast_build.py builds that wheel"),
    },
    "docs/server-api.md": {
        "gateway key new": Shell(("ends",)),
        "GATEWAY_API_KEYS=backend:": NotRun("the hash is to be filled in; test_server_api_docs serves with one"),
        "curl -sS": By(API, "test_the_line_for_curl_publishes"),
        "sent = chat.publish(\"support:7\"": By(API, "test_the_first_program_publishes_and_is_told_what_is_wrong"),
        "from gateway.backend import AsyncBackend": By(API, "test_the_second_program_does_several_at_once"),
        "[[key]]": By(API, "test_the_table_of_the_page_is_a_key"),
        "GATEWAY_API_LISTEN=": Data("options"),
        "# flask_app.py": By(API, "test_the_flask_recipe_says_once_what_is_asked_twice"),
        "# chat.py of your application": By(DJANGO, "test_what_is_said_later_waits_for_the_transaction"),
        "# tasks.py": NotRun("needs Celery; compiled by tests/server/test_server_api_docs.py"),
    },
    "docs/start.md": {
        "python3 -m pip install --target": INSTALLS,
        "curl http://localhost:8006/readyz": Shell(("ends", "ends"), serves_already=True),
        "const { io } = await import": CONSOLE,
        "{ ok: true, room: 'lobby'": NotRun("shows the answers of the block before it"),
        "import asyncio, socketio": Program(says="'ok': True, 'id'"),
        "REDIS_URL=redis://127.0.0.1:6379/0 uv run gateway": Shell(("serves",)),
    },
    "docs/tracing.md": {
        "pip install 'chat-gateway": NotRun("installs; tests/test_tracing_options.py has the extra's name"),
        "GATEWAY_OTEL=on": Shell(("serves",)),
        "curl -sS": By(TRACING, "test_the_call_of_the_page_is_the_trace_of_the_page"),
        "your span": By(TRACING, "test_the_call_of_the_page_is_the_trace_of_the_page"),
    },
    "docs/upgrading.md": {
        "import os, unicodedata, redis": Program(
            says="renamed b'old'",
            before=(
                "import os, redis\nold = redis.Redis.from_url(os.environ['REDIS_URL'])\n"
                "old.rpush('chat_history_cafe\\u0301-of-a-test', 'old')\n"
            ),
            after="\nprint('renamed', old.lpop('chat_history_caf\\u00e9-of-a-test'))",
        )
    },
    "docs/watching.md": {
        "gateway top": WATCHING,
        "gateway room lobby": WATCHING,
        "gateway tail lobby": WATCHING,
    },
    "docs/webhooks.md": {
        "[[webhook]]": By("tests/webhooks/test_table.py", "test_the_table_of_the_page_is_read"),
        "POST /chat-events": REQUEST,
        "# receiver": By(WEBHOOKS, "test_the_receiver_of_the_page_takes_what_is_posted"),
    },
}  # fmt: skip

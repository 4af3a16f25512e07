"""Flask: gives tokens to who is logged in, and posts into rooms. pip install flask 'pyjwt[crypto]' chat-gateway"""

import base64
import os
import time
import uuid
from pathlib import Path

import jwt
from flask import Flask, abort, session

from gateway.backend import Backend

app = Flask(__name__)
app.secret_key = os.environ["FLASK_SECRET"]
chat = Backend(os.environ["CHAT_URL"], os.environ["CHAT_KEY"])  # one for all threads
kid, secret = Path(os.environ["CHAT_SECRETS"]).read_text().split()[0].split(":")  # the first signs


@app.get("/chat-token")
def chat_token():
    if "user_id" not in session:
        abort(401)
    now = int(time.time())
    claims = {"sub": str(session["user_id"]), "name": session["name"], "iat": now, "exp": now + 600}
    claims |= {"jti": str(uuid.uuid4()), "rooms": {"orders:*": ["join", "send"]}}
    token = jwt.encode(claims, base64.b64decode(secret), algorithm="HS256", headers={"kid": kid})
    return {"token": token}, 200, {"Cache-Control": "no-store"}


@app.post("/orders/<order>/shipped")
def shipped(order):
    said = chat.publish(
        f"orders:{order}", "Your order has left.", username="Shop", idempotency_key=f"shipped-{order}"
    )
    return {"id": said.id}

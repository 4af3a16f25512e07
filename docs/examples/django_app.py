"""Django in one file: gives tokens to who is logged in, and posts into rooms.

pip install django 'pyjwt[crypto]' chat-gateway. In a project the two views stand in `views.py`, and the rest is there.
"""

import base64
import os
import time
import uuid
from pathlib import Path

import jwt
from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from gateway.backend import Backend

if not settings.configured:
    settings.configure(
        ROOT_URLCONF=__name__, SECRET_KEY=os.environ["DJANGO_SECRET"], ALLOWED_HOSTS=["*"],
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    )  # fmt: skip

chat = Backend(os.environ["CHAT_URL"], os.environ["CHAT_KEY"])  # one for all threads
kid, secret = Path(os.environ["CHAT_SECRETS"]).read_text().split()[0].split(":")  # the first signs


@never_cache
def chat_token(request):
    if "user_id" not in request.session:  # in a project: @login_required, and request.user
        return HttpResponse(status=401)
    now = int(time.time())
    claims = {
        "sub": str(request.session["user_id"]),
        "name": request.session["name"],
        "iat": now,
        "exp": now + 600,
    }
    claims |= {"jti": str(uuid.uuid4()), "rooms": {"orders:*": ["join", "send"]}}
    token = jwt.encode(claims, base64.b64decode(secret), algorithm="HS256", headers={"kid": kid})
    return JsonResponse({"token": token})


@csrf_exempt  # your shop's own service calls it; in a project it is a signal or a task rather than a view
def shipped(request, order):
    said = chat.publish(
        f"orders:{order}", "Your order has left.", username="Shop", idempotency_key=f"shipped-{order}"
    )
    return JsonResponse({"id": said.id})


urlpatterns = [path("chat-token", chat_token), path("orders/<str:order>/shipped", shipped)]

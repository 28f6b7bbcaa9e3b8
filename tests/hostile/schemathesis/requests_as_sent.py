"""Signs payment events as the provider does (Standard Webhooks), so that what comes behind the signature is tested, and
sends headers as text.

What does not belong here: what an event says; Schemathesis makes that up.
"""

import base64
import hashlib
import hmac
import os
import time

import schemathesis

PATH = "/api/payments/webhook"
KEY = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))


def sign(request):
    """Signs what goes over the wire, whatever it is."""
    body = request.body or b""
    if isinstance(body, str):
        body = body.encode()
    name, now = f"msg_{time.time_ns()}", str(int(time.time()))
    digest = hmac.new(KEY, f"{name}.{now}.".encode() + body, hashlib.sha256).digest()
    request.headers["webhook-id"] = name
    request.headers["webhook-timestamp"] = now
    request.headers["webhook-signature"] = "v1," + base64.b64encode(digest).decode()
    return request


@schemathesis.hook
def before_call(context, case, kwargs):
    # A name of a request that is made of an id in another answer is a number, which no header can be.
    for name, value in (case.headers or {}).items():
        if isinstance(value, int):
            case.headers[name] = str(value)
    if case.path == PATH:
        kwargs["auth"] = sign

"""Signs payment events as the provider does (Standard Webhooks), so that what comes behind the signature is tested,
sends headers as text, and checks what is shown of a hold that was given back.

What does not belong here: what an event says; Schemathesis makes that up.
"""

import base64
import hashlib
import hmac
import os
import time

import schemathesis

PATH = "/api/payments/webhook"
HOLD = "/api/holds/{id}"
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


@schemathesis.check
def given_back_hold_is_shown_as_released(ctx, response, case):
    """In place of `use_after_free` (see schemathesis.toml): what was given back keeps no units."""
    if case.operation.label != f"GET {HOLD}" or response.status_code != 200:
        return None
    for before in ctx.internals.find_related(case_id=case.id):
        answer = ctx.internals.find_response(case_id=before.id)
        if (
            before.operation.label == f"DELETE {HOLD}"
            and before.path_parameters == case.path_parameters
            and answer is not None
            and answer.status_code == 204
        ):
            status = response.json()["data"]["status"]
            assert status == "released", f"hold {case.path_parameters['id']} was given back, and is {status}"
    return None

"""Drives the simulator with Twilio's own library: official_library.py URL ACCOUNT_SID AUTH_TOKEN."""

import datetime
import json
import queue
import sys
import threading
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client

URL, ACCOUNT_SID, AUTH_TOKEN = sys.argv[1:]
TO, FROM, SERVICE = "+33612345678", "+15005550006", "MG" + "0" * 31 + "1"


def client(token=AUTH_TOKEN):
    made = Client(ACCOUNT_SID, token)
    made.api.base_url = URL
    return made


def code_of(call):
    try:
        call()
    except TwilioRestException as error:
        return error.status, error.code
    raise AssertionError("no error")


def check_create_and_fetch(messages, twilio):
    created = twilio.messages.create(to=TO, from_=FROM, body="Bonjour Jean")
    assert created.status == "queued" and created.num_segments == "1", created.status
    assert created.date_created.tzinfo is not None
    fetched = twilio.messages(created.sid).fetch()
    assert (fetched.sid, fetched.body, fetched.status) == (created.sid, "Bonjour Jean", "delivered")
    media = twilio.messages.create(to=TO, from_=FROM, media_url=["https://example.com/a.png"])
    assert [medium.content_type for medium in media.media.list()] == ["image/png"]
    assert twilio.api.accounts(ACCOUNT_SID).fetch().status == "active"
    messages += [created.sid, media.sid]


def check_list(messages, twilio):
    for n in range(7):
        messages.append(twilio.messages.create(to=TO, from_=FROM, body=f"number {n}").sid)
    assert [m.sid for m in twilio.messages.list(page_size=3)] == messages[::-1]
    assert [m.sid for m in twilio.messages.list(limit=4)] == messages[:-5:-1]
    assert twilio.messages.list(to="+33612345679") == []
    since = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    assert len(twilio.messages.list(to=TO, from_=FROM, date_sent_after=since)) == len(messages)
    assert twilio.messages.list(date_sent_before=since) == []


def check_errors(twilio):
    create = twilio.messages.create
    for arguments, expected in [
        ({"to": "+15005550001", "from_": FROM, "body": "x"}, (400, 21211)),
        ({"to": "+15005550002", "from_": FROM, "body": "x"}, (400, 21612)),
        ({"to": "+15005550003", "from_": FROM, "body": "x"}, (400, 21408)),
        ({"to": "+15005550004", "from_": FROM, "body": "x"}, (400, 21610)),
        ({"to": "+15005550009", "from_": FROM, "body": "x"}, (400, 21614)),
        ({"to": TO, "from_": "+15005550001", "body": "x"}, (400, 21212)),
        ({"to": TO, "from_": "+15005550007", "body": "x"}, (400, 21606)),
        ({"to": TO, "from_": "+15005550008", "body": "x"}, (429, 21611)),
        ({"to": TO, "from_": FROM, "body": "x" * 1601}, (400, 21617)),
        ({"to": TO, "from_": FROM}, (400, 21602)),
        ({"to": TO, "body": "x"}, (400, 21603)),
    ]:
        assert code_of(lambda: create(**arguments)) == expected, arguments
    assert code_of(lambda: client("wrong").messages("SM" + "0" * 32).fetch()) == (401, 20003)
    assert code_of(lambda: twilio.messages("SM" + "0" * 32).fetch()) == (404, 20404)


def check_cancel_redact_delete(messages, twilio):
    send_at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    scheduled = twilio.messages.create(
        to=TO, messaging_service_sid=SERVICE, body="later", schedule_type="fixed", send_at=send_at
    )
    assert scheduled.status == "scheduled"
    assert scheduled.update(status="canceled").status == "canceled"
    assert code_of(lambda: twilio.messages(messages[0]).update(status="canceled")) == (400, 30409)
    assert twilio.messages(messages[0]).update(body="").body == ""
    assert twilio.messages(messages[0]).delete()
    assert code_of(lambda: twilio.messages(messages[0]).fetch()) == (404, 20404)


def check_webhooks_are_signed(twilio):
    received = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = dict(urllib.parse.parse_qsl(body, keep_blank_values=True))
            received.put((self.path, form, self.headers["X-Twilio-Signature"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    validator = RequestValidator(AUTH_TOKEN)

    def next_one():
        path, form, signature = received.get(timeout=30)
        assert validator.validate(base + path, form, signature), path
        return form

    callback = f"{base}/status?message=a%20b&attempt=1"
    sent = twilio.messages.create(to=TO, from_=FROM, body="signed?", status_callback=callback)
    assert [next_one()["MessageStatus"] for _ in range(3)] == ["sending", "sent", "delivered"]
    inbound = {"from": TO, "to": FROM, "body": "Grüße 👋  a+b & c=d\n", "url": f"{base}/inbox?x=1"}
    request = urllib.request.Request(f"{URL}/_sim/inbound", json.dumps(inbound).encode())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    assert json.load(opener.open(request))["status"] == 204
    assert next_one()["Body"] == inbound["body"] and sent.sid
    server.shutdown()


def main():
    messages, twilio = [], client()
    check_create_and_fetch(messages, twilio)
    check_list(messages, twilio)
    check_errors(twilio)
    check_cancel_redact_delete(messages, twilio)
    check_webhooks_are_signed(twilio)


main()

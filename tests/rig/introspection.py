"""Token introspection (RFC 7662) for the rig's Dovecot. A token is `user:<name>:<anything>` in base64url without padding, and
good for that user until somebody posts it to /revoke. So whoever issues tokens needs no talk with this server."""

import base64
import http.server
import json
import sys
import urllib.parse

revoked = set()


def introspect(token):
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except ValueError:
        return {"active": False}
    kind, _, rest = text.partition(":")
    name, _, _ = rest.rpartition(":")
    if kind != "user" or not name or token in revoked:
        return {"active": False}
    return {"active": True, "username": name, "scope": "mail"}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        token = urllib.parse.parse_qs(body).get("token", [""])[0]
        if self.path == "/revoke":
            revoked.add(token)
            answer = {}
        else:
            answer = introspect(token)
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()

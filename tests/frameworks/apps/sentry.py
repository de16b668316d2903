"""Plays Sentry: prints each event that it is sent, as one line of JSON. Says first on which port it is."""

import gzip
import http.server
import json


class Store(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        length = self.headers.get("Content-Length")
        body = self.rfile.read(int(length))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        # An envelope: a line of JSON, then for each item a line of JSON and its content.
        lines = body.split(b"\n")
        for header, content in zip(lines[1::2], lines[2::2]):
            if json.loads(header).get("type") == "event":
                print(json.dumps(json.loads(content)), flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
print(f"port {server.server_port}", flush=True)
server.serve_forever()

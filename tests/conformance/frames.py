"""How h11 frames messages: a line of hexadecimal digits in, a line of JSON out.

`{"requests": [[method, target, body], …], "refused": why}`, text in latin-1; `refused` is null when all was read or more was needed.
"""

import json
import sys

import h11


def framed(message):
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(message)
    connection.receive_data(b"")
    requests = []
    try:
        while (request := next_request(connection)) is not None:
            requests.append(request)
            # What follows a CONNECT is for the other end of a tunnel (RFC 9110 9.3.6).
            if request[0] == "CONNECT":
                break
            if not answered(connection):
                return {"requests": requests, "refused": "HTTP/1.0 is not kept alive" if is_old(connection) else None}
    except h11.RemoteProtocolError as error:
        if "without sending complete message body" in str(error) or "unexpectedly closed" in str(error):
            return {"requests": requests, "refused": None}
        return {"requests": requests, "refused": str(error)}
    return {"requests": requests, "refused": None}


def next_request(connection):
    head, body = None, b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return [part.decode("latin-1") for part in (bytes(head.method), bytes(head.target), body)]
        else:
            return None


def answered(connection):
    """Answers, and says whether another request may come."""
    connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
    connection.send(h11.EndOfMessage())
    if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
        return False
    connection.start_next_cycle()
    return True


def is_old(connection):
    return connection.their_http_version == b"1.0"


for line in sys.stdin:
    print(json.dumps(framed(bytes.fromhex(line.strip()))))

"""tornado's IOLoop: for WSGI applications, and for tornado's own, which tornado's server serves.

    come_round   when our poll or the bell is readable: Rust leads, and calls a WSGI application for what stands ready
"""

import asyncio
import socket

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerConnectionDelegate
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream, StreamClosedError

# Made before the application is imported: what it hangs on the loop there is run.
asyncio.set_event_loop(asyncio.new_event_loop())
loop = IOLoop.current()


def is_native(application):
    return isinstance(application, HTTPServerConnectionDelegate)


def run(crew, native):
    """Runs the loop until the worker is done. `native` is the server of an application of tornado's own, or None."""

    def come_round(*_):
        try:
            if crew.come_round():
                # There is more, but others come first.
                loop.add_callback(come_round)
            if native:
                native.follow(crew.mode())
            if crew.mode() == 'done':
                loop.stop()
        except BaseException as error:
            crew.break_off(error)
            loop.stop()

    for descriptor in crew.descriptors():
        loop.add_handler(descriptor, come_round, IOLoop.READ)
    while crew.mode() != 'done':
        try:
            loop.start()
        except (SystemExit, KeyboardInterrupt) as error:
            crew.go_on(error)
        else:
            crew.go_on(None)


def ask(application, request):
    """What an application of tornado's own answers to a request that nobody has sent."""

    async def converse():
        ours, theirs = socket.socketpair()
        server = HTTPServer(application)
        server.handle_stream(IOStream(theirs), ('127.0.0.1', 0))
        client = IOStream(ours)
        try:
            await client.write(request)
            return await client.read_until_close()
        except StreamClosedError:
            return b''
        finally:
            client.close()

    return loop.run_sync(converse)

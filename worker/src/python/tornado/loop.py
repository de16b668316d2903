"""tornado's IOLoop: for WSGI applications, and for tornado's own, which tornado's server serves.

    come_round   when our poll or the bell is readable: Rust leads, and calls a WSGI application for what stands ready
    native       tornado's server on copies of our listeners; Rust says when to begin and when to leave, and is told the counts
"""

import asyncio
import socket
from weakref import WeakKeyDictionary, WeakSet

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPMessageDelegate, HTTPServerConnectionDelegate
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.iostream import IOStream, StreamClosedError
from tornado.netutil import add_accept_handler
from tornado.websocket import WebSocketHandler

# Made before the application is imported: what it hangs on the loop there is run.
asyncio.set_event_loop(asyncio.new_event_loop())
loop = IOLoop.current()

# How long an idle client may still send a request when the drain begins, in seconds. Less races with one that is on its way; more
# keeps the worker for those that say nothing.
LAST_CALL = 2
# How often they are looked at, in milliseconds. Less is for nothing, more adds to that time.
CLOSE_EVERY = 100
# How long the last frames and answers may take to leave. Less cuts them off, more is cut off by the worker's own end.
LAST_WORDS = 0.05

sockets = WeakSet()
init = WebSocketHandler.__init__


def remembered(self, *arguments, **keywords):
    sockets.add(self)
    init(self, *arguments, **keywords)


WebSocketHandler.__init__ = remembered


def is_native(application):
    return isinstance(application, HTTPServerConnectionDelegate)


def run(crew, application):
    """Runs the loop until the worker is done. `application` is one of tornado's own, or None."""
    native = application and Native(crew, application)

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


class Stream(IOStream):
    """A connection that says when it is closed."""

    on_closed = None

    def close_fd(self):
        super().close_fd()
        if self.on_closed is not None:
            self.on_closed(self)


class Server(HTTPServer):
    """tornado's server, with an eye on what is under way."""

    def initialize(self, application, native, **options):
        self.native = native
        super().initialize(application, **options)

    def start_request(self, server_conn, request_conn):
        delegate = super().start_request(server_conn, request_conn)
        return Watched(delegate, self.native, request_conn)


class Watched(HTTPMessageDelegate):
    """The delegate of one request. It is under way from its head to the end of its answer."""

    def __init__(self, delegate, native, connection):
        self.delegate, self.native, self.connection = delegate, native, connection
        self.write_headers, self.finish_answer, self.detach = connection.write_headers, connection.finish, connection.detach
        connection.write_headers, connection.finish, connection.detach = self.head, self.end, self.upgrade

    def headers_received(self, start_line, headers):
        self.native.begin(self.connection)
        return self.delegate.headers_received(start_line, headers)

    def data_received(self, chunk):
        return self.delegate.data_received(chunk)

    def finish(self):
        return self.delegate.finish()

    def on_connection_close(self):
        self.native.end(self.connection)
        return self.delegate.on_connection_close()

    def head(self, start_line, headers, chunk=None):
        self.native.crew.count_answer(start_line.code)
        if self.native.mode == 'drain':
            # Then the head says so, and the connection ends.
            self.connection._disconnect_on_finish = True
        return self.write_headers(start_line, headers, chunk)

    def end(self):
        self.native.end(self.connection)
        return self.finish_answer()

    def upgrade(self):
        """Its connection is a WebSocket from now on, or whatever else its handler makes of it."""
        self.native.end(self.connection)
        return self.detach()


class Native:
    """An application of tornado's own, on copies of our listeners."""

    def __init__(self, crew, application):
        self.crew = crew
        self.listeners = [socket.socket(fileno=descriptor) for descriptor in crew.listeners()]
        self.streams, self.active = set(), set()
        self.mode, self.stop_accepting = 'loaded', []
        # Connections whose answer has ended within the drain.
        self.idle_since = WeakKeyDictionary()
        options = crew.options()
        self.connections_max = options.pop('connections_max')
        self.server = Server(application, self, **options)

    def follow(self, mode):
        if mode != self.mode:
            before, self.mode = self.mode, mode
            if mode == 'serve':
                self.accept()
            elif mode == 'drain':
                self.drain(before)

    # Connections come.

    def accept(self):
        if self.mode == 'serve' and not self.stop_accepting and len(self.streams) < self.connections_max:
            self.stop_accepting = [add_accept_handler(listener, self.admit) for listener in self.listeners]

    def pause(self):
        for stop in self.stop_accepting:
            stop()
        self.stop_accepting = []

    def admit(self, connection, address):
        stream = Stream(connection, max_buffer_size=self.server.max_buffer_size)
        stream.on_closed = self.forget
        self.streams.add(stream)
        self.crew.count_open(len(self.streams), True)
        if len(self.streams) >= self.connections_max:
            self.pause()
        self.server.handle_stream(stream, address)

    def forget(self, stream):
        self.streams.discard(stream)
        self.crew.count_open(len(self.streams), False)
        self.accept()
        self.leave_if_empty()

    # Requests come.

    def begin(self, connection):
        self.crew.count_request()
        self.active.add(connection)

    def end(self, connection):
        self.active.discard(connection)
        if self.mode == 'drain' and connection.stream is not None:
            self.idle_since[connection.stream] = loop.time()

    # And they go.

    def drain(self, before):
        self.pause()
        if before == 'serve':
            self.empty_listeners()
        for listener in self.listeners:
            listener.close()
        self.crew.has_left()
        # The next head on each connection, and those that are not out, say that they are the last.
        self.server.conn_params.no_keep_alive = True
        self.drain_began = loop.time()
        self.closer = PeriodicCallback(self.close_idle, CLOSE_EVERY)
        self.closer.start()
        loop.call_later(self.crew.seconds_to_drain(), self.end_drain)
        self.leave_if_empty()

    def empty_listeners(self):
        """Whoever waits in a listener is taken: the wake for him has reached us, and perhaps nobody else."""
        for listener in self.listeners:
            while True:
                try:
                    connection, address = listener.accept()
                except OSError:
                    break
                connection.setblocking(False)
                self.admit(connection, address)

    def close_idle(self):
        busy = {connection.stream for connection in self.active if connection.stream is not None}
        busy |= {socket.ws_connection.stream for socket in list(sockets) if socket.ws_connection is not None}
        for stream in self.streams - busy:
            idle_since = self.idle_since.get(stream, self.drain_began)
            if idle_since + LAST_CALL <= loop.time() and not stream.writing():
                stream.close()

    def end_drain(self):
        """The drain has lasted long enough."""
        for handler in list(sockets):
            if handler.ws_connection is not None:
                handler.close(1001, 'the server ends')
        loop.call_later(LAST_WORDS, self.close_all)

    def close_all(self):
        for stream in list(self.streams):
            stream.close()
        self.crew.is_empty()

    def leave_if_empty(self):
        if self.mode == 'drain' and not self.streams:
            self.crew.is_empty()


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

"""An application of tornado's own, served by tornado's server on copies of our listeners.

    Native      Rust says when to begin and when to leave; every handler has its time
    Server      tornado's, which has a Watched for each request
    Watched     stands between a connection and the delegate of its request, and tells an `exchange` of Rust's what it sees
    Stream      a connection that says when it is closed

A request is under way from its head to the end of its answer. Its handler has `timeouts.request` from the whole request to the head of the
answer, and again for each next piece; no time passes while its client takes what there is. A WebSocket has no request any more.
"""

import asyncio
import socket
import struct
from weakref import WeakKeyDictionary, WeakSet

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, ResponseStartLine
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.iostream import IOStream, StreamClosedError
from tornado.netutil import add_accept_handler
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

loop = IOLoop.current()

# How long an idle client may still send a request when the drain begins, in seconds. Less races with one that is on its way; more
# keeps the worker for those that say nothing.
LAST_CALL = 2
# How often they are looked at, in milliseconds. Less is for nothing, more adds to that time.
CLOSE_EVERY = 100
# How long the last frames and answers may take to leave. Less cuts them off, more is cut off by the worker's own end.
LAST_WORDS = 0.05
# How often handlers are looked at, in seconds, and in parts of their time where that is short. Less costs looks at thousands that wait;
# more tells their clients later.
LOOK_EVERY, LOOKS = 0.25, 4

SORRY = b'the application did not answer in time\n'
# To close a socket so is to reset its connection (socket(7), SO_LINGER).
RESET = struct.pack('ii', 1, 0)

sockets = WeakSet()
init = WebSocketHandler.__init__


def remembered(self, *arguments, **keywords):
    sockets.add(self)
    init(self, *arguments, **keywords)


WebSocketHandler.__init__ = remembered


def gone():
    """What a handler gets that writes to somebody who has left."""
    future = loop.asyncio_loop.create_future()
    future.set_exception(StreamClosedError())
    # Nobody needs to look at it.
    future.exception()
    return future


def handlers():
    """The task of each handler, by its connection. tornado keeps them to itself."""
    found = {}
    for task in asyncio.all_tasks(loop.asyncio_loop):
        frame = getattr(task.get_coro(), 'cr_frame', None)
        handler = frame and frame.f_locals.get('self')
        if isinstance(handler, RequestHandler):
            found[handler.request.connection] = task
    return found


def frames(task):
    """Where a task waits, the outermost frame first; None for one that runs, or is none."""
    if task is None or task is asyncio.current_task(loop.asyncio_loop):
        return None
    found, awaited = [], task.get_coro()
    while awaited is not None:
        for frame, next in ('cr_frame', 'cr_await'), ('gi_frame', 'gi_yieldfrom'), ('ag_frame', 'ag_await'):
            if getattr(awaited, frame, None) is not None:
                found.append(getattr(awaited, frame))
                awaited = getattr(awaited, next)
                break
        else:
            break
    return found


class Stream(IOStream):
    """A connection that says when it is closed."""

    on_closed = None
    client = 'unix'

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
        return Watched(super().start_request(server_conn, request_conn), self.native, request_conn)


class Watched(HTTPMessageDelegate):
    """The delegate of one request, and what its answer goes through."""

    # Until when its handler is waited for, None while it is not; and at least until when, by its own wish.
    deadline, granted = None, 0
    # Whether some of the answer is out, whether its end would be seen to be missing, and whether nothing more of it is wanted.
    is_begun = is_framed = is_late = False

    def __init__(self, delegate, native, connection):
        self.delegate, self.native, self.connection = delegate, native, connection
        self.send_head, self.send, self.finish_answer = connection.write_headers, connection.write, connection.finish
        self.detach = connection.detach
        connection.write_headers, connection.write, connection.finish = self.head, self.piece, self.end
        connection.detach = self.upgrade
        connection.extend_timeout = self.extend_timeout

    # The request comes.

    def headers_received(self, start_line, headers):
        self.stream = self.connection.stream
        self.exchange = self.native.crew.begin(start_line, self.stream.client, headers)
        self.native.begin(self)
        return self.delegate.headers_received(start_line, headers)

    def data_received(self, chunk):
        return self.delegate.data_received(chunk)

    def finish(self):
        self.exchange.whole()
        self.wait()
        return self.delegate.finish()

    def on_connection_close(self):
        self.lose()
        return self.delegate.on_connection_close()

    # The answer goes.

    def head(self, start_line, headers, chunk=None):
        if self.is_late:
            return gone()
        if self.native.mode == 'drain':
            # Then the head says so, and the connection ends.
            self.connection._disconnect_on_finish = True
        sent = self.send_head(start_line, headers, chunk)
        self.is_begun, self.is_framed = True, 'Content-Length' in headers or 'Transfer-Encoding' in headers
        self.exchange.head(start_line.code, headers)
        self.went(chunk)
        return sent

    def piece(self, chunk):
        if self.is_late:
            return gone()
        sent = self.send(chunk)
        self.went(chunk)
        return sent

    def went(self, chunk):
        if chunk:
            self.exchange.sent(len(chunk))
        if self.deadline is not None:
            self.wait()

    def end(self):
        if self.is_late:
            return
        self.native.end(self)
        try:
            self.finish_answer()
        except BaseException:
            self.exchange.cut_short()
            raise
        self.exchange.answered()
        if self.stream.closed() or not self.stream.writing():
            self.exchange.told()
        else:
            self.stream.write(b'').add_done_callback(self.leave)

    def leave(self, written):
        """All of it is out, or its client is."""
        if written.exception() is None:
            self.exchange.told()
        else:
            self.exchange.left()

    def upgrade(self):
        """Its connection is a WebSocket from now on, or whatever else its handler makes of it."""
        if self.native.end(self):
            self.exchange.head(101, HTTPHeaders())
            self.exchange.answered()
            self.exchange.told()
        return self.detach()

    def lose(self):
        if self.native.end(self):
            self.exchange.left()

    # Its handler has its time.

    def wait(self):
        self.deadline = self.native.now() + self.native.patience

    def extend_timeout(self, seconds):
        """As monoceros.extend_timeout: so many seconds from now, if there are not more already."""
        self.granted = max(self.granted, self.native.now() + seconds)

    def is_due(self, now):
        if self.deadline is None:
            return False
        if self.stream.writing():
            # Its client is waited for, and not it. Seen at each look, since its time begins anew when its client has taken all.
            self.wait()
        return now >= max(self.deadline, self.granted)

    def break_off(self, task):
        """Tells the client that nothing comes, and has the handler end."""
        if not self.native.end(self):
            return
        self.is_late = True
        self.exchange.late(frames(task))
        if self.is_begun:
            self.cut()
        else:
            self.apologise()
        if task is not None:
            task.cancel()

    def cut(self):
        if not self.is_framed:
            self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.connection.close()

    def apologise(self):
        self.connection._disconnect_on_finish = True
        headers = HTTPHeaders({'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': str(len(SORRY))})
        is_head = self.connection._request_start_line.method == 'HEAD'
        self.send_head(ResponseStartLine('HTTP/1.1', 504, 'Gateway Timeout'), headers, None if is_head else SORRY)
        self.finish_answer()


class Native:
    """An application of tornado's own, on copies of our listeners."""

    def __init__(self, crew, application):
        self.crew = crew
        self.listeners = [socket.socket(fileno=descriptor) for descriptor in crew.listeners()]
        self.streams = set()
        # By its stream, each request.
        self.under_way = {}
        self.mode, self.stop_accepting = 'loaded', []
        # Connections whose answer has ended within the drain.
        self.idle_since = WeakKeyDictionary()
        options = crew.options()
        self.connections_max, self.patience = options.pop('connections_max'), options.pop('patience')
        self.look_every = min(LOOK_EVERY, self.patience / LOOKS)
        self.now, self.is_looking = loop.asyncio_loop.time, False
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
        if connection.family != socket.AF_UNIX:
            stream.client = address[0]
        self.streams.add(stream)
        self.crew.count_open(len(self.streams), True)
        if len(self.streams) >= self.connections_max:
            self.pause()
        self.server.handle_stream(stream, address)

    def forget(self, stream):
        self.streams.discard(stream)
        self.crew.count_open(len(self.streams), False)
        if stream in self.under_way:
            self.under_way[stream].lose()
        self.accept()
        self.leave_if_empty()

    # Requests come.

    def begin(self, watched):
        self.under_way[watched.stream] = watched
        if not self.is_looking:
            self.is_looking = True
            loop.asyncio_loop.call_later(self.look_every, self.look)

    def end(self, watched):
        """Says whether it had not ended before."""
        if self.under_way.get(watched.stream) is not watched:
            return False
        del self.under_way[watched.stream]
        if self.mode == 'drain':
            self.idle_since[watched.stream] = self.now()
        return True

    def look(self):
        """Breaks off what is late."""
        now = self.now()
        try:
            self.break_off([watched for watched in self.under_way.values() if watched.is_due(now)])
        finally:
            self.is_looking = bool(self.under_way)
            if self.is_looking:
                loop.asyncio_loop.call_later(self.look_every, self.look)

    def break_off(self, late):
        tasks = handlers() if late else {}
        for watched in late:
            watched.break_off(tasks.get(watched.connection))

    def frames(self):
        """Where each request waits that has a place."""
        tasks = handlers()
        waiting = [(watched.exchange.place, tasks.get(watched.connection)) for watched in list(self.under_way.values())]
        return {place: frames(task) for place, task in waiting if place is not None}

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
        self.drain_began = self.now()
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
        busy = {socket.ws_connection.stream for socket in list(sockets) if socket.ws_connection is not None}
        busy.update(self.under_way)
        for stream in self.streams - busy:
            idle_since = self.idle_since.get(stream, self.drain_began)
            if idle_since + LAST_CALL <= self.now() and not stream.writing():
                stream.close()

    def end_drain(self):
        """The drain has lasted long enough."""
        for handler in list(sockets):
            if handler.ws_connection is not None:
                handler.close(1001, 'the server ends')
        self.break_off(list(self.under_way.values()))
        loop.call_later(LAST_WORDS, self.close_all)

    def close_all(self):
        for stream in list(self.streams):
            stream.close()
        self.crew.is_empty()

    def leave_if_empty(self):
        if self.mode == 'drain' and not self.streams:
            self.crew.is_empty()

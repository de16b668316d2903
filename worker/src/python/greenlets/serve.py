"""Serves requests in greenlets: here is all that may switch to another one, and nothing else.

    crew (Rust) reads, parses, sends, keeps deadlines; each of its methods returns before anything switches
    hub         what gevent and eventlet do differently: spawn, soon, wait, wake, throw, pause, room, run

A greenlet lives as long as its request: the call of the application, each next item, close(). So what is local to it is local to
the request.
"""

import os

from greenlet import getcurrent

# What `give` and `end` say.
GO, PAUSE, WAIT, STOP, HOLD = range(5)

# By the place of the call: the greenlet that runs it.
running = {}

# In a child that the application has forked: the greenlet that did. The others are copies, whose requests are the parent's.
forked = None


def note_fork():
    global forked
    forked = getcurrent()


os.register_at_fork(after_in_child=note_fork)


def stay_parent(hub):
    """Goes no further in a child, but for the greenlet that forked it: that ends it."""
    while forked is not None and forked is not getcurrent():
        hub.vanish()


def serve(crew, application, hub):
    """One request, the next that stands ready."""
    taken = crew.take()
    if taken is None:
        return
    call, place, environ, start_response = taken
    running[place] = getcurrent()
    iterable = None
    try:
        try:
            iterable = application(environ, start_response)
            stay_parent(hub)
            if not call.answer(iterable):
                send(call, place, iterable, hub)
        except BaseException as error:
            stay_parent(hub)
            call.fail(error)
        close(call, place, iterable, hub)
    finally:
        del running[place]
        staff(call.leave(), crew, application, hub)


def send(call, place, iterable, hub):
    """Each item goes out before the next is asked for, or when that takes its time."""
    is_held = False
    for item in iterable:
        stay_parent(hub)
        step = call.give(item)
        if step == GO:
            continue
        if step == HOLD:
            if not is_held:
                # Done when this greenlet switches, and for nothing when the next items came first.
                is_held = True
                hub.soon(call.send_held)
            continue
        is_held = False
        if step == STOP:
            return
        if step == PAUSE:
            hub.pause()
        else:
            hub.wait(place)
        if not call.resume():
            return
    stay_parent(hub)
    call.end()


def close(call, place, iterable, hub):
    """Closes the iterable when all that came of it has left, or cannot."""
    try:
        while call.is_leaving():
            hub.wait(place)
        if iterable is None or type(iterable) in (list, tuple):
            return
        call.begin_to_close()
        close = getattr(iterable, 'close', None)
        if close is not None:
            close()
            stay_parent(hub)
    except BaseException as error:
        stay_parent(hub)
        call.fail_to_close(error)


def waiting(hub):
    """What become methods of what answers a request: PEP 3333's write(), and what a streamed body is read by."""

    def write(respond, data, /):
        respond.begin_to_put(data)
        try:
            while not respond.push():
                if not hub.is_writable(*respond.room()):
                    respond.lose()
        finally:
            respond.written()

    def receive(respond, most, /):
        respond.begin_to_receive()
        try:
            while (data := respond.receive_now(most)) is None:
                if not hub.is_readable(*respond.source()):
                    respond.miss()
            return data
        finally:
            respond.received()

    return write, receive


def staff(count, crew, application, hub):
    """A greenlet for each request that stands ready and has none."""
    for _ in range(count):
        hub.spawn(serve, crew, application, hub)


def run(crew, application, hub):
    """Serves until the worker is done."""

    def come_round():
        try:
            for place in crew.come_round():
                hub.wake(place)
            for place in crew.overdue():
                greenlet = running.get(place)
                if greenlet is not None:
                    hub.throw(greenlet, crew.RequestTimeout)
            staff(crew.wanted(), crew, application, hub)
            if crew.is_done():
                hub.stop()
        except BaseException as error:
            crew.break_off(error)
            hub.stop()

    hub.begin(crew.descriptors(), come_round)
    while not crew.is_done():
        try:
            hub.run()
        except (SystemExit, KeyboardInterrupt) as error:
            # Of some greenlet of the application's own.
            crew.go_on(error)


def runs(place):
    """Whether this call has the thread now, or whoever does."""
    greenlet = running.get(place)
    return greenlet is not None and not greenlet.dead and greenlet.gr_frame is None


def frame(place, thread_frame):
    """Where a call stands."""
    greenlet = running.get(place)
    if greenlet is None or greenlet.dead:
        return None
    return greenlet.gr_frame or thread_frame

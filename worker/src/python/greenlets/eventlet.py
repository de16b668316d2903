"""eventlet's hub."""

import os
import warnings

with warnings.catch_warnings():
    # That it is old stands in our README, and need not in the log of each worker.
    warnings.simplefilter('ignore')
    import eventlet
    from eventlet import hubs
    from eventlet.event import Event
    from eventlet.timeout import Timeout

from greenlet import getcurrent

eventlet.monkey_patch()


class Hub:
    """What serve.py needs of eventlet."""

    def __init__(self):
        self.hub = hubs.get_hub()
        self.waiters = {}
        self.done = Event()
        self.spawn = eventlet.spawn_n
        # In a child the hub would share its epoll with ours.
        os.register_at_fork(after_in_child=hubs.use_hub)

    def begin(self, descriptors, come_round):
        def readable(_):
            come_round()

        for descriptor in descriptors:
            self.hub.add(self.hub.READ, descriptor, readable, self.lose, self.lose)

    def run(self):
        self.done.wait()

    def lose(self, *_):
        """Nobody but us closes our descriptors."""

    def soon(self, function):
        self.hub.schedule_call_global(0, function)

    def vanish(self):
        hubs.get_hub().switch()

    def stop(self):
        if not self.done.ready():
            self.done.send()

    def wait(self, place):
        self.waiters[place] = getcurrent()
        try:
            self.hub.switch()
        finally:
            del self.waiters[place]

    def wake(self, place):
        greenlet = self.waiters.get(place)
        if greenlet is not None:
            self.hub.schedule_call_global(0, self.switch, place, greenlet)

    def switch(self, place, greenlet):
        # It may have been ended meanwhile, or wait for something else.
        if self.waiters.get(place) is greenlet:
            greenlet.switch()

    def throw(self, greenlet, exception):
        self.hub.schedule_call_global(0, self.throw_now, greenlet, exception)

    def throw_now(self, greenlet, exception):
        if not greenlet.dead:
            greenlet.throw(exception)

    def pause(self):
        eventlet.sleep(0)

    def is_readable(self, descriptor, seconds):
        return self.ready(descriptor, seconds, read=True)

    def is_writable(self, descriptor, seconds):
        return self.ready(descriptor, seconds, write=True)

    def ready(self, descriptor, seconds, **event):
        timeout = Timeout(seconds)
        try:
            hubs.trampoline(descriptor, **event)
            return True
        except Timeout as raised:
            if raised is not timeout:
                raise
            return False
        finally:
            timeout.cancel()

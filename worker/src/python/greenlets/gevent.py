"""gevent's hub."""

import os

import gevent
from gevent import monkey
from gevent.event import Event
from gevent.hub import Waiter

monkey.patch_all()

# The events that a watcher may be for.
READ, WRITE = 1, 2


class Hub:
    """What serve.py needs of gevent."""

    def __init__(self):
        self.hub = gevent.get_hub()
        self.waiters = {}
        self.done = Event()
        self.spawn = gevent.spawn
        self.soon = self.hub.loop.run_callback
        self.watchers = set()
        os.register_at_fork(after_in_child=self.let_go)

    def begin(self, descriptors, come_round):
        for descriptor in descriptors:
            self.watcher(descriptor, READ).start(come_round)

    def run(self):
        self.done.wait()

    def watcher(self, descriptor, events):
        watcher = self.hub.loop.io(descriptor, events)
        self.watchers.add(watcher)
        return watcher

    def close(self, watcher):
        self.watchers.discard(watcher)
        watcher.close()

    def let_go(self):
        """In a child none of our descriptors is open, and libev ends a process that watches one that is not."""
        for watcher in self.watchers:
            watcher.stop()

    def vanish(self):
        self.hub.switch()

    def stop(self):
        self.done.set()

    def wait(self, place):
        waiter = self.waiters[place] = Waiter(self.hub)
        try:
            waiter.get()
        finally:
            del self.waiters[place]

    def wake(self, place):
        waiter = self.waiters.get(place)
        if waiter is not None:
            waiter.switch(None)

    def throw(self, greenlet, exception):
        greenlet.kill(exception, block=False)

    def pause(self):
        gevent.sleep(0)

    def is_readable(self, descriptor, seconds):
        return self.ready(descriptor, READ, seconds)

    def is_writable(self, descriptor, seconds):
        return self.ready(descriptor, WRITE, seconds)

    def ready(self, descriptor, events, seconds):
        watcher = self.watcher(descriptor, events)
        timeout = gevent.Timeout.start_new(seconds)
        try:
            self.hub.wait(watcher)
            return True
        except gevent.Timeout as raised:
            if raised is not timeout:
                raise
            return False
        finally:
            timeout.close()
            self.close(watcher)

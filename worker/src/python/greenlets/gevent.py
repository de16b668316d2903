"""gevent's hub."""

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

    def run(self, descriptors, come_round):
        watchers = [self.hub.loop.io(descriptor, READ) for descriptor in descriptors]
        for watcher in watchers:
            watcher.start(come_round)
        self.done.wait()
        for watcher in watchers:
            watcher.close()

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
        watcher = self.hub.loop.io(descriptor, events)
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
            watcher.close()

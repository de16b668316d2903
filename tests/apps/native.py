"""tornado's own: handlers that wait as coroutines do, WebSockets, long answers."""

import asyncio
import os
import pathlib
import sys
from asyncio import sleep as nap

import tornado.ioloop
import tornado.web
import tornado.websocket

released = asyncio.Event()
ticks = 0
told = []


def tick():
    global ticks
    ticks += 1


# As programs do that have one loop: hung on it before it runs.
tornado.ioloop.PeriodicCallback(tick, 20).start()


class Main(tornado.web.RequestHandler):
    async def get(self, what):
        query = self.request.query
        if what == "nap":
            await nap(float(query))
        elif what == "hold":
            told.append("held")
            await released.wait()
        elif what == "release":
            released.set()
        elif what == "told":
            return self.write(repr(told))
        elif what == "ticks":
            return self.write(str(ticks))
        elif what == "pid":
            return self.write(str(os.getpid()))
        elif what == "exit":
            sys.exit(3)
        elif what == "stop":
            tornado.ioloop.IOLoop.current().stop()
        elif what == "raises":
            raise ValueError(query)
        elif what == "stream":
            for _ in range(80):
                self.write(b"x" * 65536)
                await self.flush()
            return None
        elif what == "spin":
            while True:
                pass
        self.write("ok")

    async def post(self, what):
        self.write(f"{what} {len(self.request.body)}")


class Echo(tornado.websocket.WebSocketHandler):
    def on_message(self, message):
        self.write_message(message)

    def on_close(self):
        told.append(f"closed {self.close_code}")
        (pathlib.Path(__file__).parent / "closed").write_text(str(self.close_code))


application = tornado.web.Application([(r"/echo", Echo), (r"/(.*)", Main)])

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


async def waits(seconds):
    try:
        await nap(seconds)
    except BaseException as error:
        told.append(type(error).__name__)
        raise


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
        elif what == "waits":
            await waits(float(query))
        elif what == "stalls":
            # Begins, and then gives nothing more.
            if query == "framed":
                self.set_header("Content-Length", "1000")
            self.write(b"begun")
            await self.flush()
            await waits(3600)
        elif what == "pieces":
            for _ in range(int(query)):
                await nap(0.3)
                self.write(b"piece")
                await self.flush()
            return None
        elif what == "extends":
            self.request.connection.extend_timeout(float(query))
            await nap(1.5)
        elif what == "stubborn":
            while True:
                try:
                    await nap(3600)
                except asyncio.CancelledError:
                    return self.write("too late")
        elif what == "short":
            self.set_header("Content-Length", "1000")
            await self.flush()
            return None
        elif what == "raises":
            raise ValueError(query)
        elif what == "stream":
            self.set_header("X-Own", "an own one")
            for _ in range(80):
                self.write(b"x" * 65536)
                await self.flush()
            return None
        elif what == "spin":
            while True:
                pass
        self.write("ok")

    async def head(self, what):
        if what == "waits":
            await waits(float(self.request.query))

    async def post(self, what):
        self.write(f"{what} {len(self.request.body)}")


class Echo(tornado.websocket.WebSocketHandler):
    def on_message(self, message):
        self.write_message(message)

    def on_close(self):
        told.append(f"closed {self.close_code}")
        (pathlib.Path(__file__).parent / "closed").write_text(str(self.close_code))


application = tornado.web.Application([(r"/echo", Echo), (r"/(.*)", Main)])

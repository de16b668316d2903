"""What `deployed` answers, by an application of tornado's own."""

import os
import pathlib
from asyncio import sleep as nap

import tornado.web

deploy = {}
exec(compile(pathlib.Path("deploy.py").read_text(), "deploy.py", "exec"), deploy)
VERSION = deploy["VERSION"]
PIECES = 20


class Deployed(tornado.web.RequestHandler):
    async def get(self, path):
        if path != "/stream":
            return self.answer(path, b"")
        for number in range(PIECES):
            await nap(0.004)
            self.write(b"piece %d of %d\n" % (number, PIECES))
            await self.flush()

    async def post(self, path):
        self.answer(path, self.request.body)

    def answer(self, path, body):
        self.write(b"%s %d %d %s" % (path.encode(), VERSION, os.getpid(), body))


application = tornado.web.Application([(r"(/.*)", Deployed)])

"""A filter as PasteDeploy makes it: adds a field to each answer, and logs."""

import logging

log = logging.getLogger(__name__)


class Stamp:
    def __init__(self, app, global_conf, word):
        self.app = app
        self.word = word

    def __call__(self, environ, start_response):
        def start(status, headers, exc_info=None):
            return start_response(status, [*headers, ("X-Stamp", self.word)], exc_info)

        log.info("%s %s", environ["REQUEST_METHOD"], environ["PATH_INFO"])
        return self.app(environ, start)

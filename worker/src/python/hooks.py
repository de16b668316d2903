"""What a hooks module has, and the application with its hooks around it."""

import difflib
import importlib
import inspect
import types
from time import perf_counter

# Each hook, with what it is called with.
HOOKS = {
    'worker_start': ('worker',),
    'worker_ready': ('worker',),
    'request_start': ('environ',),
    'request_end': ('environ', 'status', 'seconds'),
    'worker_timeout': ('worker', 'request'),
    'worker_exit': ('worker',),
}

# gunicorn's names, for whoever brings a module along.
OF_GUNICORN = {
    'post_fork': 'worker_start',
    'post_worker_init': 'worker_ready',
    'pre_request': 'request_start',
    'post_request': 'request_end',
    'worker_abort': 'worker_timeout',
    'worker_int': 'worker_exit',
}


def load(name):
    """The hooks of a module, by name, and what looks like one and is none, with what was most likely meant."""
    module = importlib.import_module(name)
    hooks = {hook: vars(module)[hook] for hook in HOOKS if hook in vars(module)}
    for hook, function in hooks.items():
        expect(hook, function)
    slips = []
    for known, value in vars(module).items():
        if known in HOOKS or not isinstance(value, types.FunctionType) or value.__module__ != module.__name__:
            continue
        near = OF_GUNICORN.get(known) or next(iter(difflib.get_close_matches(known, HOOKS, 1, 0.8)), None)
        if near is not None:
            slips.append((known, near))
    return hooks, slips


def expect(hook, function):
    """A hook that cannot be called as it will be is told of now, not by the first request."""
    if not callable(function):
        raise TypeError(f'{hook} cannot be called')
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    names = HOOKS[hook]
    try:
        signature.bind(*names)
    except TypeError:
        raise TypeError(f"{hook} is called as {hook}({', '.join(names)}), and is {hook}{signature}") from None


class Answer:
    """What an application returned, whose close() is known of."""

    __slots__ = ('iterable', 'over')

    def __init__(self, iterable, over):
        self.iterable = iterable
        self.over = over

    def __iter__(self):
        return iter(self.iterable)

    def close(self):
        try:
            close = getattr(self.iterable, 'close', None)
            if close is not None:
                close()
        finally:
            self.over()


def around(application, start, end, server):
    """The application with these hooks before and after its requests.

    Of the server: the types of answers that are its own at once, what it raises in a call that is late, and who is told of a hook that
    failed.
    """
    at_once, RequestTimeout, failed = server

    def begin(environ):
        try:
            start(environ)
        except Exception as error:
            failed('request_start', error)

    def with_start(environ, start_response):
        begin(environ)
        return application(environ, start_response)

    def with_end(environ, start_response):
        begun = perf_counter()
        status = 500

        def respond(text, headers, exc_info=None, /):
            nonlocal status
            write = start_response(text, headers, exc_info)
            status = int(text[:3])
            return write

        def over():
            try:
                end(environ, status, perf_counter() - begun)
            except Exception as error:
                failed('request_end', error)

        if start is not None:
            begin(environ)
        try:
            iterable = application(environ, respond)
        except BaseException as error:
            if isinstance(error, RequestTimeout):
                status = 504
            over()
            raise
        if type(iterable) in at_once:
            over()
            return iterable
        return Answer(iterable, over)

    return with_start if end is None else with_end

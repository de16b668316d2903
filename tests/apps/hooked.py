"""An application, and in the same file the hooks that note what they are told: one line each in the file `noted`."""

import os
import threading


def note(text):
    with open('noted', 'a') as file:
        file.write(text + '\n')


note('imported by ' + threading.current_thread().name)
opened = threading.Event()


def application(environ, start_response):
    path = environ['PATH_INFO']
    note('call ' + path)
    if path == '/raises':
        raise ValueError('of the application')
    if path == '/none':
        return []
    if path == '/stuck':
        while not opened.wait(0.01):
            pass
    if path == '/open':
        opened.set()
    headers = [('X-Hooked', environ.get('shop.hooked', '-'))]
    if path == '/again':
        start_response('200 OK', headers)
        try:
            raise KeyError('x')
        except KeyError:
            import sys

            start_response('503 Busy', headers, sys.exc_info())
        return [b'busy']
    write = start_response('404 Not Found' if path == '/absent' else '200 OK', headers)
    if path == '/items':
        return items()
    if path == '/file':
        return environ['wsgi.file_wrapper'](open('noted', 'rb'))
    if path == '/written':
        write(b'writ')
        return [b'ten']
    return [b'hel', b'lo']


def items():
    try:
        yield b'one '
        note('between')
        yield b'two'
    finally:
        note('closed')

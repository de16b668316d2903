# As Django projects behind nginx have it: a socket's file, hooks, a log of its own.
import logging
import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent

wsgi_app = "shop:application"
bind = ["unix:shop.sock", "127.0.0.1:8001"]
umask = 0o007
worker_class = "gthread"
workers = 2
threads = 4
worker_connections = 500
max_requests = 1000
keepalive = 65
raw_env = ["COLOUR=blue", "PRICE=5$"]
pidfile = BASE_DIR / "shop.pid"
forwarded_allow_ips = "10.0.0.1,10.1.0.0/16"
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
accesslog = "-"
access_log_format = '%(h)s %(t)s "%(r)s" %(s)s %({x-request-id}o)s %(M)s'
preload_app = True
proc_name = "shop main"
limit_request_line = 8190
limit_request_field_size = 0
statd_host = "localhost:8125"

logger = logging.getLogger(__name__)


def when_ready(server):
    logger.info("ready")


def post_fork(server, worker):
    os.environ["WORKER"] = str(worker.pid)


def pre_request(worker, req):
    req.started = 1


def child_exit(server, worker):
    pass

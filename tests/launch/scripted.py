"""A server that misbehaves on purpose: `python scripted.py PORT WORD…`. Each word is one fault; none is a good server."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(sys.argv[1])
FAULTS = sys.argv[2:]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(500 if "health500" in FAULTS else 200, {"status": "ok"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        if "chat404" in FAULTS:
            self.answer(404, {"error": {"message": "The model `m` does not exist."}})
        elif "chat-shape" in FAULTS:
            self.answer(200, {"hello": "world"})
        elif "chat-hangs-then-dies" in FAULTS:
            print('Traceback (most recent call last):\n  File "x.py", line 1\nMemoryError: no more', flush=True)
            threading.Timer(0.3, lambda: os._exit(7)).start()
            time.sleep(60)
        else:
            self.answer(200, {"choices": [{"message": {"role": "assistant", "content": "x"}}]})

    def answer(self, status: int, page: object) -> None:
        body = json.dumps(page).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def rename(title: bytes, clear_environment: bool) -> None:
    """As setproctitle does: over argv's memory, and over the environment's."""
    libc = ctypes.CDLL(None)
    libc.prctl(15, title[:15], 0, 0, 0)  # PR_SET_NAME
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    arg_start, arg_end, env_start, env_end = (int(field) for field in fields[45:49])
    ctypes.memmove(arg_start, title.ljust(arg_end - arg_start, b"\0")[: arg_end - arg_start], arg_end - arg_start)
    if clear_environment:
        ctypes.memset(env_start, 0, env_end - env_start)


def detach(pid_file: str, clear_environment: bool) -> None:
    """A worker two forks away, in a session of its own, renamed, deaf to SIGTERM; the caller goes on to be the server."""
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    rename(b"VLLM::Worker_TP1", clear_environment)
    with open(pid_file, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)


def child(pid_file: str) -> None:
    """A worker that is seen as a child for a while, then leaves for a session of its own and clears its environment."""
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        rename(b"VLLM::Worker_TP2", clear_environment=True)
        os.setsid()
        with open(pid_file, "w") as file:
            file.write(str(os.getpid()))
        time.sleep(600)


def main() -> None:
    print("starting", flush=True)
    if "exits" in FAULTS:
        print('INFO all is well\nTraceback (most recent call last):\n  File "x.py", line 1, in <module>')
        print("ModuleNotFoundError: No module named 'torch'\nTraceback (most recent call last):\n  File \"y.py\", line 1")
        print("RuntimeError: Engine core initialization failed. See root cause above.")
        sys.exit(3)
    if "says-nothing" in FAULTS:
        sys.exit(9)
    if "killed" in FAULTS:
        os.kill(os.getpid(), signal.SIGKILL)
    if "deaf" in FAULTS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for fault in FAULTS:
        kind, _, path = fault.partition("=")
        if kind == "detach":
            detach(path, clear_environment=False)
        if kind == "child":
            child(path)
        if kind == "environment":
            with open(path, "w") as file:
                json.dump(dict(os.environ), file)
    if "never-listens" in FAULTS:
        sys.stdout.write("loading 10%\rloading 20%")
        sys.stdout.flush()
        time.sleep(600)
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler, bind_and_activate=False)
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.server_bind()
    server.server_activate()
    if "dies-later" in FAULTS:
        threading.Timer(1.0, lambda: os._exit(5)).start()
    server.serve_forever()


if __name__ == "__main__":
    main()

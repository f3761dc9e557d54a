"""Stands in for `vllm` where it runs on several machines: its flags, its meeting at the master, and its habits when a rank is lost. It
answers as our paced server does. `--fault RANK:WHAT`: what goes wrong on that rank."""

import argparse
import ctypes
import os
import signal
import socket
import sys
import threading
import time

parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("serve")
parser.add_argument("model")
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int)
parser.add_argument("--served-model-name")
parser.add_argument("-tp", type=int)
parser.add_argument("--nnodes", type=int, default=1)
parser.add_argument("--node-rank", type=int, default=0)
parser.add_argument("--master-addr")
parser.add_argument("--master-port", type=int)
parser.add_argument("--headless", action="store_true")
parser.add_argument("--fault", default="")
given = parser.parse_args()
fault = given.fault.partition(":")[2] if given.fault.startswith(f"{given.node_rank}:") else ""
print(f"rank {given.node_rank} of {given.nnodes} on {os.uname().nodename} as {os.environ.get('VLLM_HOST_IP')}", flush=True)


def fail(words: str) -> None:
    print(f'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\n{words}', flush=True)


def worker() -> None:
    """As vLLM's: in a session of its own, renamed, deaf to SIGTERM."""
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(15, f"VLLM::Worker_TP{given.node_rank}".encode()[:15], 0, 0, 0)
        time.sleep(3600)


worker()
if fault == "dies at start":
    time.sleep(0.5)
    fail("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
    sys.exit(1)
if fault.startswith("dies after"):

    def die() -> None:
        fail("ModuleNotFoundError: No module named 'torch'")
        os._exit(1)

    threading.Timer(float(fault.split()[-1]), die).start()
if given.node_rank:
    while True:
        try:
            link = socket.create_connection((given.master_addr, given.master_port), timeout=1)
            break
        except OSError:
            time.sleep(0.1)
    link.settimeout(None)
    link.recv(1)  # it outlives its head
    fail("RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer")
    time.sleep(3600)


def watch(link: socket.socket) -> None:
    link.recv(1)
    fail("RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer")
    os._exit(1)


if given.nnodes > 1:
    meeting = socket.create_server((given.master_addr, given.master_port))
    for _ in range(given.nnodes - 1):
        threading.Thread(target=watch, args=(meeting.accept()[0],), daemon=True).start()

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness.engines.paced.behaviours import Pace  # noqa: E402
from harness.engines.paced.server import Server  # noqa: E402

pace = Pace(ttft_ns=20_000_000, tpot_ns=5_000_000, tokens_per_event=1, behave={})
Server(given.host, given.port, pace, None, None).run()

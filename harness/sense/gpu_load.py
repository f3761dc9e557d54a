"""A short load for the GPU, so that its clock and watts can be seen under one: a GB10 that is stuck at low power shows it only then.

It goes through CUDA's driver API (`libcuda.so.1`, part of the driver) and needs no toolkit, engine or torch. Functions and constants are
those of NVIDIA's `cuda.h`. No memory is taken besides the context that the driver makes, some hundreds of MB. Processes share a GPU by
turns: an engine is slowed while this runs, and its own work lowers the figure. So never beside a measurement.

Not covered: tensor cores and memory. A healthy GPU may draw less here than in a matrix product; its clock is what tells.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes import POINTER, byref, c_char_p, c_int, c_uint, c_void_p
from queue import Empty, SimpleQueue
from uuid import UUID

from harness import clock
from harness.schema.sensors import GPU, Absent
from harness.units import NS_PER_S, seconds

LIBRARY = "libcuda.so.1"
CHAINS, DEPTH = 16, 16
"""Chains of FMAs in each thread that do not wait for each other, and the steps of each in a round of the loop."""
THREADS, BLOCKS = 256, 4
"""Threads of a block, blocks for each multiprocessor: 32 warps, all at once on every GPU since sm_70, more than its pipelines need."""
STEP = -1.9
"""x → x² + STEP stays within [-1.9, 1.71] and never comes to rest: numbers that stand still would draw fewer watts."""
MOST_SUM = 64.0
"""Chains cannot add up to more than 16 × 1.71; if they do the kernel traps. That it might is why no compiler drops the loop."""
FIRST_ROUNDS, MOST_ROUNDS = 1000, 1 << 20
"""Of a launch. The first takes about 1 ms at 2 GHz with 128 lanes a multiprocessor: 1000 · 256 FMAs · 1024 threads / 128."""
LAUNCH_NS = 30_000_000
"""What a launch is to take: long beside the way to the GPU, short for those who wait for it."""
PATIENCE_S, END_S = 20.0, 1.0

SUCCESS, NO_DEVICE = 0, 100  # CUresult
BLOCKING_SYNC = 4  # CUctx_flags: who waits sleeps, and does not take a core and its watts from what is looked at
MULTIPROCESSOR_COUNT = 16  # CUdevice_attribute
SIGNATURES = {
    "cuGetErrorName": (c_int, POINTER(c_char_p)),
    "cuInit": (c_uint,),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetUuid_v2": (c_void_p, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuCtxCreate_v2": (POINTER(c_void_p), c_uint, c_int),
    "cuCtxDestroy_v2": (c_void_p,),
    "cuModuleLoadData": (POINTER(c_void_p), c_char_p),
    "cuModuleGetFunction": (POINTER(c_void_p), c_void_p, c_char_p),
    "cuLaunchKernel": (c_void_p, *[c_uint] * 7, c_void_p, POINTER(c_void_p), POINTER(c_void_p)),
    "cuCtxSynchronize": (),
}
"""Arguments; each gives a CUresult. Versions that CUDA has had since 11.4 and keeps."""


def busy(duration_s: float, uuid: str | None = None, patience_s: float = PATIENCE_S) -> float | Absent:
    """Keeps one GPU busy for so long, and says what it reached: FP32 FLOP/s, counted from its FMAs; or why it cannot.

    `uuid` as NVML gives it (`GPU-…`), since CUDA and NVML may number GPUs differently; None: CUDA's first. Sensors are to be read meanwhile
    by other threads. A GPU that does not answer within `patience_s` more is given up, not waited for.

    A launch is 2 · 16 · 16 FLOP · rounds · 256 threads · 4 blocks · multiprocessors: on the 48 of a GB10 25,165,824 FLOP a round. A
    multiprocessor with 128 FP32 lanes (GB10: 6144 / 48) does 256 FLOP a cycle: 29.5 TFLOP/s at 2.4 GHz, and 7.5 at 611 MHz.
    """
    stop, answers = threading.Event(), SimpleQueue[float | Absent]()
    worker = threading.Thread(target=lambda: answers.put(_answer(duration_s, uuid, stop)), name="gpu load", daemon=True)
    worker.start()
    try:
        return answers.get(timeout=duration_s + patience_s)
    except Empty:
        return _absent("unreachable", f"it has not answered for {patience_s:g} s")
    finally:
        stop.set()
        worker.join(END_S)  # after Ctrl-C: the launch ends, and the context is given back


class _Refused(Exception):
    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class _Cuda:
    """`cuda("cuInit", 0)`; whatever is not success is raised as `_Refused`."""

    def __init__(self) -> None:
        try:
            library = ctypes.CDLL(LIBRARY)
            self._calls = {name: getattr(library, name) for name in SIGNATURES}
        except (OSError, AttributeError) as error:
            raise _Refused("no_library", str(error)) from error
        for name, types in SIGNATURES.items():
            self._calls[name].argtypes, self._calls[name].restype = types, c_int

    def __call__(self, name: str, *arguments: object) -> None:
        result = self._calls[name](*arguments)
        if result == SUCCESS:
            return
        found = c_char_p()
        self._calls["cuGetErrorName"](result, byref(found))
        code = "no_device" if result == NO_DEVICE else "no_driver" if name == "cuInit" else "refused"
        raise _Refused(code, f"{name} answers {found.value.decode() if found.value else 'error'} ({result})")


def _answer(duration_s: float, uuid: str | None, stop: threading.Event) -> float | Absent:
    try:
        cuda = _Cuda()
        device = _device(cuda, uuid)
        with _context(cuda, device):
            return _run(cuda, device, duration_s, stop)
    except _Refused as refusal:
        return _absent(refusal.code, refusal.text)


def _absent(code: str, text: str) -> Absent:
    return Absent(source="cuda", scope=GPU, code=code, text=f"the GPU cannot be put under load: {text}")


def _device(cuda: _Cuda, uuid: str | None) -> int:
    count, device, raw = c_int(), c_int(), (ctypes.c_ubyte * 16)()
    cuda("cuInit", 0)
    cuda("cuDeviceGetCount", byref(count))
    for index in range(count.value):
        cuda("cuDeviceGet", byref(device), index)
        cuda("cuDeviceGetUuid_v2", raw, device)
        if uuid in {None, f"GPU-{UUID(bytes=bytes(raw))}"}:
            return device.value
    raise _Refused("no_device", f"CUDA shows {count.value} GPUs, and not {uuid or 'one'}; CUDA_VISIBLE_DEVICES may hide it")


@contextmanager
def _context(cuda: _Cuda, device: int) -> Iterator[None]:
    """One of our own, not the primary one that the whole process shares: how it waits, and an error that sticks to it, end with it, as do
    its modules."""
    context = c_void_p()
    cuda("cuCtxCreate_v2", byref(context), BLOCKING_SYNC, device)
    try:
        yield
    finally:
        with suppress(_Refused):  # it repeats what a launch had answered
            cuda("cuCtxDestroy_v2", context)


def _run(cuda: _Cuda, device: int, duration_s: float, stop: threading.Event) -> float:
    """Launch after launch, each as many rounds as take `LAUNCH_NS` at the clock that the last one saw."""
    module, kernel, multiprocessors, rounds = c_void_p(), c_void_p(), c_int(), c_uint(FIRST_ROUNDS)
    cuda("cuDeviceGetAttribute", byref(multiprocessors), MULTIPROCESSOR_COUNT, device)
    cuda("cuModuleLoadData", byref(module), ptx().encode())
    cuda("cuModuleGetFunction", byref(kernel), module, b"busy")
    blocks = BLOCKS * multiprocessors.value
    parameters = (c_void_p * 1)(ctypes.addressof(rounds))
    flop = worked_ns = 0
    while True:
        start = clock.now()
        cuda("cuLaunchKernel", kernel, blocks, 1, 1, THREADS, 1, 1, 0, None, parameters, None)
        cuda("cuCtxSynchronize")
        took_ns = max(1, clock.now() - start)
        flop += 2 * CHAINS * DEPTH * rounds.value * THREADS * blocks
        worked_ns += took_ns
        if stop.is_set() or worked_ns >= duration_s * NS_PER_S:
            return flop / seconds(worked_ns)
        rounds.value = max(1, min(2 * rounds.value, rounds.value * LAUNCH_NS // took_ns, MOST_ROUNDS))


def ptx() -> str:
    """The kernel as text that every driver since CUDA 9 compiles for its GPU: sm_70 and later, sm_121 too."""
    starts = (f"fma.rn.f32 %x{chain}, %x0, {_literal(0.5)}, {_literal(chain / 32)};" for chain in range(1, CHAINS))
    steps = (f"fma.rn.f32 %x{chain}, %x{chain}, %x{chain}, {_literal(STEP)};" for _ in range(DEPTH) for chain in range(CHAINS))
    sums = (f"add.rn.f32 %x0, %x0, %x{chain};" for chain in range(1, CHAINS))
    lines = [
        ".version 6.0",
        ".target sm_70",
        ".address_size 64",
        ".visible .entry busy(.param .u32 rounds)",
        "{",
        ".reg .pred %again, %unsound;",
        ".reg .u32 %left, %thread;",
        f".reg .f32 %x<{CHAINS}>;",
        "ld.param.u32 %left, [rounds];",
        "mov.u32 %thread, %tid.x;",
        "cvt.rn.f32.u32 %x0, %thread;",
        f"mul.rn.f32 %x0, %x0, {_literal(1 / 1024)};",
        *starts,
        "round:",
        *steps,
        "sub.u32 %left, %left, 1;",
        "setp.ne.u32 %again, %left, 0;",
        "@%again bra round;",
        *sums,
        f"setp.gtu.f32 %unsound, %x0, {_literal(MOST_SUM)};",  # "or unordered": what is no number traps, too
        "@%unsound trap;",
        "ret;",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _literal(value: float) -> str:
    return f"0f{struct.pack('>f', value).hex().upper()}"

"""Makes every Python of SGLang's venv find a libcuda.so.1: the driver's own where there is one, else the stub beside this file.

A .pth file imports it at start-up, so spawned children have it too, without LD_LIBRARY_PATH: the loader knows a loaded
library by its soname.
"""

import ctypes
import pathlib

try:
    ctypes.CDLL("libcuda.so.1")
except OSError:
    ctypes.CDLL(str(pathlib.Path(__file__).with_name("libcuda.so.1")), ctypes.RTLD_GLOBAL)

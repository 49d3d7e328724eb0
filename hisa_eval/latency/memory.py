"""The most memory that something takes, on either kind of device."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


class PeakMemory:
    """Peak from `begin` to `read`, weights and caches included.

    On CUDA what torch has allocated; on a CPU the resident memory of the whole process, which Linux keeps
    the peak of. Memory that is free but not given back would count for whoever comes next, so it is given
    back first.

    Args:
        device: `"cpu"` or `"cuda"`.

    Source: Linux `proc_pid_clear_refs(5)`, value 5; `proc_pid_status(5)`, VmHWM.
    """

    def __init__(self, device: str) -> None:
        self._cuda = device == "cuda"
        self._known = True

    def begin(self) -> None:
        """Forget the peak so far."""
        gc.collect()
        if self._cuda:
            import torch

            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            return
        with suppress(OSError, AttributeError):  # Another C library keeps what it keeps.
            ctypes.CDLL(None).malloc_trim(0)
        try:
            _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
            self._known = True
        except OSError:
            self._known = False

    def read(self) -> int | None:
        """Bytes; None where the system does not tell."""
        if self._cuda:
            import torch

            return int(torch.cuda.max_memory_allocated())
        if not self._known:
            return None
        try:
            lines = _STATUS.read_text(encoding="ascii").splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)

"""Find zeroes in a buffer at the speed of memory.

A range is zero when its first byte is and every byte equals the next one:
``memcmp(p, p + 1, n - 1)`` runs at the vector speed of the C library, needs no zero
page to compare with, and ctypes releases the interpreter's lock around it. At the
first byte that differs it is over, so data costs next to nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from mmap import mmap

from .extents import Extent

_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_memcmp.restype = ctypes.c_int


class _PyBuffer(ctypes.Structure):
    """Py_buffer of the C API (PEP 3118): the one way to the address of a read-only buffer too."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = (ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int)
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = (ctypes.POINTER(_PyBuffer),)


def address_of(buffer: bytes | bytearray | memoryview | mmap) -> int:
    """Return where a contiguous buffer begins in memory; it must outlive the use of the address."""
    held = _PyBuffer()
    _get_buffer(buffer, ctypes.byref(held), 0)
    try:
        return held.buf or 0
    finally:
        _release_buffer(ctypes.byref(held))


class ZeroTest:
    """Tests ranges of one buffer, which may be refilled between tests but not resized.

    Keeps the buffer alive. Safe to use from several threads.
    """

    __slots__ = ("_address", "_view")

    def __init__(self, buffer: bytes | bytearray | memoryview | mmap) -> None:
        self._view = memoryview(buffer).cast("B")
        self._address = address_of(self._view)

    def is_zero(self, offset: int, length: int) -> bool:
        """Tell whether ``length`` bytes from ``offset`` are all zero; an empty range is."""
        if offset < 0 or length < 0 or offset + length > len(self._view):
            raise ValueError(f"{length} bytes at {offset} are not inside a buffer of {len(self._view)}")
        if not length:
            return True
        if self._view[offset]:
            return False
        start = self._address + offset
        return not _memcmp(start, start + 1, length - 1)

    def runs(self, offset: int, length: int, unit: int) -> Iterator[tuple[Extent, bool]]:
        """Yield alternating ranges of the buffer and whether they hold data, in whole units from ``offset``.

        The last unit may be short. Test while the buffer stands still.
        """
        end = offset + length
        start, was_data = offset, False
        at = offset
        while at < end:
            is_data = not self.is_zero(at, min(unit, end - at))
            if is_data != was_data and at > start:
                yield Extent(start, at - start), was_data
                start = at
            was_data = is_data
            at += unit
        if end > start:
            yield Extent(start, end - start), was_data

    def data_blocks(self, offset: int, length: int, unit: int) -> Iterator[Extent]:
        """Yield only the ranges of ``runs`` that hold data."""
        return (extent for extent, is_data in self.runs(offset, length, unit) if is_data)

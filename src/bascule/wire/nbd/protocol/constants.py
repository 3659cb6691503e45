"""Numbers of the NBD protocol, and the limits we put on what a peer may announce.

Commands and flags are plain integers because they sit in paths that run
150,000 times a second; names that only appear in messages are enums.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final

HELLO_MAGIC: Final = b"NBDMAGIC"
OPTION_MAGIC: Final = 0x49484156454F5054  # "IHAVEOPT"
OPTION_REPLY_MAGIC: Final = 0x0003E889045565A9
REQUEST_MAGIC: Final = 0x25609513
SIMPLE_MAGIC: Final = 0x67446698
CHUNK_MAGIC: Final = 0x668E33EF

# Handshake flags; the client's answer uses the same bits.
FIXED_NEWSTYLE: Final = 1
NO_ZEROES: Final = 2


class Option(IntEnum):
    """What a client may ask during the handshake."""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    STARTTLS = 5
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10


class Rep(IntEnum):
    """What a server may answer to an option; bit 31 marks an error."""

    ACK = 1
    SERVER = 2
    INFO = 3
    META_CONTEXT = 4
    ERR_UNSUP = 0x80000001
    ERR_POLICY = 0x80000002
    ERR_INVALID = 0x80000003
    ERR_PLATFORM = 0x80000004
    ERR_TLS_REQD = 0x80000005
    ERR_UNKNOWN = 0x80000006
    ERR_SHUTDOWN = 0x80000007
    ERR_BLOCK_SIZE_REQD = 0x80000008
    ERR_TOO_BIG = 0x80000009


REP_ERROR_BIT: Final = 0x80000000

INFO_EXPORT: Final = 0
INFO_BLOCK_SIZE: Final = 3

# Transmission flags: what an export can do.
HAS_FLAGS: Final = 1 << 0
READ_ONLY: Final = 1 << 1
SEND_FLUSH: Final = 1 << 2
SEND_FUA: Final = 1 << 3
SEND_TRIM: Final = 1 << 5
SEND_WRITE_ZEROES: Final = 1 << 6
SEND_DF: Final = 1 << 7
CAN_MULTI_CONN: Final = 1 << 8
SEND_CACHE: Final = 1 << 10
SEND_FAST_ZERO: Final = 1 << 11

# Commands, and the names they carry in messages.
READ: Final = 0
WRITE: Final = 1
DISCONNECT: Final = 2
FLUSH: Final = 3
TRIM: Final = 4
CACHE: Final = 5
WRITE_ZEROES: Final = 6
BLOCK_STATUS: Final = 7
COMMAND_NAMES: Final = ("read", "write", "disconnect", "flush", "trim", "cache", "zero", "block status")

# Command flags.
FUA: Final = 1 << 0
NO_HOLE: Final = 1 << 1
DF: Final = 1 << 2
REQ_ONE: Final = 1 << 3
FAST_ZERO: Final = 1 << 4

# Structured replies.
DONE: Final = 1
CHUNK_NONE: Final = 0
CHUNK_DATA: Final = 1
CHUNK_HOLE: Final = 2
CHUNK_STATUS: Final = 5
CHUNK_ERROR: Final = 0x8001
CHUNK_ERROR_OFFSET: Final = 0x8002
CHUNK_ERROR_BIT: Final = 0x8000

# Flags of base:allocation and of qemu:dirty-bitmap.
BASE_ALLOCATION: Final = "base:allocation"
STATE_HOLE: Final = 1
STATE_ZERO: Final = 2
STATE_DIRTY: Final = 1

# Errors on the wire. They look like Linux's errno, and stay these numbers elsewhere.
EPERM: Final = 1
EIO: Final = 5
ENOMEM: Final = 12
EINVAL: Final = 22
ENOSPC: Final = 28
EOVERFLOW: Final = 75
ENOTSUP: Final = 95
ESHUTDOWN: Final = 108

HELLO: Final = Struct(">8sQH")
U16: Final = Struct(">H")
U32: Final = Struct(">I")
U64: Final = Struct(">Q")
OPTION: Final = Struct(">QII")  # magic, option, length
OPTION_REPLY: Final = Struct(">QIII")  # magic, option, type, length
EXPORT_INFO: Final = Struct(">HQH")  # INFO_EXPORT, size, transmission flags
BLOCK_INFO: Final = Struct(">HIII")  # INFO_BLOCK_SIZE, minimum, preferred, maximum
EXPORT_NAME_REPLY: Final = Struct(">QH")  # size, transmission flags
REQUEST: Final = Struct(">IHHQQI")  # magic, flags, command, cookie, offset, length
SIMPLE: Final = Struct(">IIQ")  # magic, error, cookie
CHUNK: Final = Struct(">IHHQI")  # magic, flags, type, cookie, length
DATA_CHUNK: Final = Struct(">IHHQIQ")  # a chunk header and the offset of the data that follows
HOLE_CHUNK: Final = Struct(">IHHQIQI")  # a whole chunk: header, offset, size
HOLE: Final = Struct(">QI")
ERROR: Final = Struct(">IH")  # errno, length of the message
DESCRIPTOR: Final = Struct(">II")  # length, flags

NAME_MAX: Final = 4096  # bytes of a string, by the protocol
OPTION_MAX: Final = 64 * 1024  # bytes of an option's data that we read
OPTIONS_MAX: Final = 1024  # options in one handshake, and queries in one option
ANSWER_MAX: Final = 16 * 1024 * 1024  # bytes of all replies to one option
PAYLOAD_MAX: Final = 32 * 1024 * 1024  # bytes of one read or write, the usual limit of NBD servers
SIZE_MAX: Final = (1 << 63) - 1  # bytes of an export: what a file offset can hold
DEFAULT_PORT: Final = 10809

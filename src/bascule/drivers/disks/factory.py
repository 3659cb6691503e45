"""Open a disk by the words a person types.

    /path/disk.raw   /path/disk.qcow2   /path/disk?format=raw   /dev/disk/by-id/NAME
    nbd://host[:port]/export   nbds://…   nbd+unix:///export?socket=/path

A source may add ``bitmap=NAME`` to read only what that dirty bitmap marks (an NBD
export of QEMU, or a qcow2); an image ``layer=yes`` to read only what was written to
it; a raw disk ``direct=yes`` or ``direct=no`` to go around the page cache or through
it; ``nbds`` takes ``tls-certificates=FOLDER`` with ca-cert.pem and, for a server that
asks, client-cert.pem and client-key.pem. ``lender=NAME`` means connections that only
the export's owner, in this process, can make and end. A disk that QEMU holds frozen has
``fresh=NAME``, a bitmap of what was overwritten since, and maybe ``holes=EXPORT``, the disk
as it goes on.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl, unquote

from bascule.model.errors import Refused
from bascule.ports.disks import DiskSink, DiskSource

from .faults import translated
from .formats import RAW, format_for, format_of
from .raw import Existing, RawSink, RawSource

# What speaks NBD is loaded when a disk needs it: a copy of a raw disk starts sooner without.
if TYPE_CHECKING:
    from bascule.wire.nbd.connecting import Access

_PATH_OPTIONS: Final = frozenset({"format", "bitmap", "direct", "layer"})
_NBD_OPTIONS: Final = frozenset({"bitmap", "fresh", "holes", "lender", "socket", "tls-certificates"})


class Words(NamedTuple):
    """Where a disk is, and what was said about it."""

    where: str
    options: dict[str, str]

    @property
    def is_nbd(self) -> bool:
        return self.where.startswith(("nbd:", "nbds:", "nbd+", "nbds+"))


def open_source(text: str) -> DiskSource:
    """Open a disk to read, or say what is wrong with it and what to do."""
    words = understand(text)
    bitmap = words.options.get("bitmap", "")
    if words.is_nbd:
        from bascule.wire.nbd.address import Address

        from .nbd import NbdSource

        address = Address.parse(text)
        if name := words.options.get("lender"):
            from bascule.wire.nbd.lent import lender

            return NbdSource.lent(lender(name), address.export, bitmap=bitmap)
        fresh, holes = words.options.get("fresh", ""), words.options.get("holes", "")
        return NbdSource.connect(address, bitmap=bitmap, fresh=fresh, holes=holes, access=_access(words))
    path = _existing(words.where)
    image_format = format_of(path, words.options.get("format", ""))
    if image_format != RAW:
        from .images import ImageSource

        _no_direct(words)
        is_layer = _yes(words, "layer", otherwise=False)
        return ImageSource(path, image_format, bitmap=bitmap, is_layer=is_layer)
    if bitmap or "layer" in words.options:
        raise Refused(
            f"{path} is a raw disk, which keeps no bitmaps and is no layer of another one",
            cure="leave ?bitmap= and layer= out to copy it whole",
        )
    return RawSource(path, direct=_yes(words, "direct", otherwise=False))


def open_sink(text: str, size: int, *, existing: Existing = "refuse") -> DiskSink:
    """Open a disk of ``size`` bytes to write; what is there already is dealt with as ``existing`` says."""
    words = understand(text)
    if "bitmap" in words.options:
        raise Refused(f"{text} names a bitmap, which only a disk to read has", cure="leave bitmap= out")
    if words.is_nbd:
        from bascule.wire.nbd.address import Address

        from .nbd import NbdSink

        return NbdSink.connect(Address.parse(text), size, access=_access(words))
    path = Path(words.where)
    image_format = _format_to_write(path, words.options.get("format", ""), existing)
    if image_format != RAW:
        from .images import ImageSink

        _no_direct(words)
        return ImageSink(path, image_format, size, existing=existing)
    return RawSink(path, size, existing=existing, direct=_yes(words, "direct", otherwise=True))


def understand(text: str) -> Words:
    """Take the words apart. A file whose name has a question mark in it is still found by its whole name."""
    where, _, query = text.partition("?")
    words = Words(where, dict(parse_qsl(query, keep_blank_values=True)))
    if not words.is_nbd:
        if "://" in where:
            return _from_url(text, words)
        if "?" in text and Path(text).exists():
            return Words(text, {})
    unknown = words.options.keys() - (_NBD_OPTIONS if words.is_nbd else _PATH_OPTIONS)
    if unknown:
        known = ", ".join(sorted(_NBD_OPTIONS if words.is_nbd else _PATH_OPTIONS))
        raise Refused(
            f"{text} asks for {', '.join(sorted(unknown))}", cure=f"what can be asked for is {known}"
        )
    return words


def _from_url(text: str, words: Words) -> Words:
    scheme, _, rest = words.where.partition("://")
    if scheme != "file" or not rest.startswith("/"):
        raise Refused(
            f"{text} is no disk that can be opened",
            cure="name a path, file:///path, nbd://host/export or nbd+unix:///export?socket=/path",
        )
    return understand(unquote(rest) + text[len(words.where) :])


def _existing(where: str) -> Path:
    path = Path(where)
    with translated(f"look at {path}"):
        mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
        raise Refused(f"{path} is neither a file nor a block device", cure="name a disk")
    return path


def _format_to_write(path: Path, stated: str, existing: Existing) -> str:
    """Trust names for what is to be made, and content for what is to be kept."""
    if existing == "update" and path.exists():
        return format_of(path, stated)
    return format_for(path, stated)


def _yes(words: Words, what: str, *, otherwise: bool) -> bool:
    answer = words.options.get(what, "yes" if otherwise else "no")
    if answer not in ("yes", "no"):
        raise Refused(
            f"{what}={answer} of {words.where} is neither yes nor no", cure=f"write {what}=yes or {what}=no"
        )
    return answer == "yes"


def _no_direct(words: Words) -> None:
    if "direct" in words.options:
        raise Refused(f"{words.where} is an image, which QEMU reads and writes", cure="leave direct= out")


def _access(words: Words) -> Access:
    import ssl

    from bascule.wire.nbd.connecting import Access

    folder = words.options.get("tls-certificates")
    if not folder:
        return Access()
    if not words.where.startswith("nbds"):
        raise Refused(
            f"{words.where} is not encrypted, certificates or not", cure="write nbds: instead of nbd:"
        )
    certificates = Path(folder)
    try:
        context = ssl.create_default_context(cafile=certificates / "ca-cert.pem")
        if (certificates / "client-cert.pem").exists():
            context.load_cert_chain(certificates / "client-cert.pem", certificates / "client-key.pem")
    except (OSError, ssl.SSLError) as error:
        raise Refused(
            f"The certificates in {folder} cannot be used: {error}",
            cure="put ca-cert.pem there, and client-cert.pem with client-key.pem if the server asks",
        ) from error
    return Access(tls=context)

"""The daemon of a worker, for tests of machines of libvirt."""

from tests.drivers.hypervisors.libvirt.conftest import libvirtd

__all__ = ["libvirtd"]

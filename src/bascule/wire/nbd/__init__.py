"""Network block devices: a client and a server.

``protocol/`` turns bytes into messages and back and touches no socket; ``stream``,
``client``, ``session`` and ``server`` are the thin shell of blocking sockets and
threads around it. The protocol is the public text ``doc/proto.md`` of the NBD
project: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
"""

"""The data plane against restic, borg, benji, qemu-img, rsync and nbdcopy.

Every comparison is made inside one run on one machine: rounds are interleaved,
sources are in the page cache, outputs are synced inside the timed part, and
what was restored is compared byte for byte outside it.
"""

"""Put objects of 16 MiB into a container and print the MiB a second: what the endpoint can take.

python -m benchmarks.data.programs.raw_put CONTAINER COUNT THREADS
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import obstore
from obstore.store import AzureStore

_OBJECT: Final = 16 << 20


def main() -> None:
    container, count, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    store = AzureStore(container, client_options={"allow_http": True})
    body = os.urandom(_OBJECT)
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        names = [f"raw/{os.urandom(8).hex()}" for _ in range(count)]
        list(pool.map(lambda name: obstore.put(store, name, body, use_multipart=False), names))
    seconds = time.perf_counter() - started
    obstore.delete(store, names)
    print(count * _OBJECT / seconds / (1 << 20))


if __name__ == "__main__":
    main()

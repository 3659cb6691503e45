"""Clients that keep a connection each and read page after page, in a process of their own."""

from __future__ import annotations

import json
import ssl
import sys
import threading
import time
from http.client import HTTPSConnection


def main() -> int:
    """Ask for so many seconds, and print how many milliseconds each answer took: PLAN is standard input."""
    plan = json.load(sys.stdin)
    took: list[float] = []
    wrong: list[int] = []
    over = time.monotonic() + plan["seconds"]

    def client(number: int) -> None:
        context = ssl.create_default_context(cafile=plan["authority"])
        line = HTTPSConnection("127.0.0.1", plan["port"], context=context, timeout=120)
        pages, at = plan["pages"], number
        while (began := time.monotonic()) < over:
            line.request("GET", pages[at % len(pages)], headers=plan["headers"])
            answer = line.getresponse()
            answer.read()
            took.append(1000 * (time.monotonic() - began))
            if answer.status != 200:
                wrong.append(answer.status)
            at += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(plan["clients"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    json.dump({"took": took, "wrong": wrong}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())

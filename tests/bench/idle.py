"""idle: what the process costs while little happens, and while much is held open.

At rest; for each of 500 open connections that have said EHLO, in clear and under TLS; at its peak while 50 clients send 25 MB each at the same time
and the messages go on to a sink.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests.bench import loading
from tests.bench.figures import Aim, mb
from tests.bench.sides import Jetmail
from tests.live.harness import Appliance
from tests.live.talk import Client

FIRST_ROUND = 35  # seconds from the start to when the housekeeping of every half minute has taken its memory, some 0.6 to 1.8 MB


def per_connection(appliance: Appliance, count: int, tls: bool) -> float:
    """Octets of resident memory for each of `count` idle connections, when as many more are opened beside them: the first ones fill memory that
    starting had used and left free, and would look cheaper than they are."""
    appliance.restart()
    time.sleep(FIRST_ROUND)
    clients: list[Client] = []
    try:
        held = []
        for _ in range(2):
            clients += [Client(appliance.smtp_port, tls) for _ in range(count)]
            time.sleep(1)
            held.append(appliance.memory())
        return (held[1] - held[0]) / count
    finally:
        for client in clients:
            client.close()


def payload(size: int) -> bytes:
    line = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcd\r\n"
    return b"Subject: large\r\n\r\n" + line * (size // len(line)) + b".\r\n"


def large(appliance: Appliance, clients: int, size: int, counter: loading.Counter) -> dict[str, float]:
    """Peak resident octets and seconds while `clients` messages of `size` octets come in at the same time and go on to the sink."""
    octets = payload(size)
    faults: list[BaseException] = []
    together = threading.Barrier(clients)

    def send(number: int) -> None:
        try:
            with Client(appliance.smtp_port) as client:
                client.envelope(f"large-{number}@example.test", "a@example.test")
                together.wait(120)
                client.socket.settimeout(600)
                client.write(octets)
                client.expect("250")
                client.quit()
        except BaseException as fault:
            together.abort()
            faults.append(fault)

    before = counter.total()
    appliance.forget_peak()
    began = time.perf_counter()
    threads = [threading.Thread(target=send, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = time.perf_counter() - began
    if faults:
        raise loading.Lied(f"{len(faults)} of {clients} large messages were not taken: {faults[0]!r}")
    loading.wait_for_arrival(counter, before + clients, 600, "large messages")
    return {"peak": appliance.memory("VmHWM"), "accepted": accepted, "delivered": time.perf_counter() - began}


def run(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="jetmail-bench-") as directory:
        counter = loading.sink(Path(directory))
        side = Jetmail(counter.port, filtered=False)  # large messages of digits are looked at by every rule, and not held for what they are
        try:
            side.start()
            time.sleep(3)
            rest = side.appliance.memory()
            print(f"at rest: {mb(rest):.1f} MB", file=sys.stderr, flush=True)
            clear = per_connection(side.appliance, options.connections, tls=False)
            secured = per_connection(side.appliance, options.connections, tls=True)
            print(f"idle connection: {clear / 1024:.1f} KB, under TLS {secured / 1024:.1f} KB", file=sys.stderr, flush=True)
            side.appliance.restart()
            heavy = large(side.appliance, options.clients, options.large, counter)
        finally:
            side.stop()
            counter.stop()
    aims = [
        Aim("idle process", mb(rest), 100, "MB"),
        Aim("idle connection", clear / 1024, 25, "KB"),
        Aim("idle connection under TLS", secured / 1024, 25, "KB"),
        Aim(f"peak with {options.clients} messages of {options.large // 1_000_000} MB at a time", mb(heavy["peak"]), 300, "MB"),
    ]
    return {
        "bench": "idle",
        "rest_mb": round(mb(rest), 1),
        "connections": options.connections,
        "connection_kb": round(clear / 1024, 1),
        "tls_connection_kb": round(secured / 1024, 1),
        "large_clients": options.clients,
        "large_size": options.large,
        "large_peak_mb": round(mb(heavy["peak"]), 1),
        "large_accept_seconds": round(heavy["accepted"], 1),
        "large_relay_seconds": round(heavy["delivered"], 1),
        "aims": [aim.plain() for aim in aims],
    }


def told(result: dict[str, Any]) -> list[str]:
    """For people."""
    return [
        "idle:",
        f"  at rest              {result['rest_mb']} MB",
        f"  idle connection      {result['connection_kb']} KB in clear, {result['tls_connection_kb']} KB under TLS ({result['connections']} of them)",
        f"  large messages       {result['large_clients']} x {result['large_size'] // 1_000_000} MB at a time: peak {result['large_peak_mb']} MB, "
        f"accepted in {result['large_accept_seconds']} s, delivered in {result['large_relay_seconds']} s",
    ]

"""So many a second, whatever the answer: mail to an MX, submissions of users, or guesses at passwords from many addresses.

    python -m tests.bench.steady mail --port 25 --rate 50 --seconds 30
    python -m tests.bench.steady submit --port 587 --user app --user crm --password-file FILE --rate 2 --seconds 30
    python -m tests.bench.steady guess --port 587 --user app --sources 1000 --rate 200 --seconds 20

Each is a connection of its own. An attempt begins when it is due, also when others are not answered yet; it is not made (`too many under way`) when
`--workers` are. The last line is JSON: for each attempt when it was due (on the machine's monotonic clock), how long it took and what was said last.
`submit` tries again a second after a 4xx, up to ten times, as a client does. `guess` leaves after five seconds without an answer, as guessers do.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.submitter import Letter, Refused, Visit, context

PATIENCE = 5.0
TRIES = 10


def source(number: int, sources: int) -> str:
    """One of many addresses of this machine: neighbours in time come from different networks."""
    which = number % sources
    return f"127.0.{1 + which % 250}.{1 + which // 250 % 250}"


class Steady:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.password = options.password_file.read_text().strip() if options.password_file else ""
        self.tls = context()
        self.rows: list[tuple[float, float, str]] = []
        self.under_way = 0
        self.lock = threading.Lock()

    def mail(self, number: int) -> str:
        """One message to the MX, in clear."""
        letter = Letter("", "", "someone@sender.test", self.options.recipient, self.options.size)
        visit = Visit.__new__(Visit)
        visit.socket = socket.create_connection((self.options.host, self.options.port), 60)
        try:
            visit.expect("220")
            visit.ask(b"EHLO bench.example.test\r\n", "250")
            visit.send(letter, letter.content())
            visit.quit()
        finally:
            visit.close()
        return "250"

    def submit(self, number: int) -> str:
        """One message of a user."""
        user = self.options.user[number % len(self.options.user)]
        letter = Letter(user, self.password, "a@example.test", self.options.recipient, self.options.size)
        for trial in range(TRIES):
            try:
                home = f"127.{1 + number % 250}.0.1" if self.options.apart else ""
                visit = Visit(self.options.host, self.options.port, self.tls, source=home)
                try:
                    visit.sign_in(user, self.password)
                    visit.send(letter, letter.content())
                    visit.quit()
                finally:
                    visit.close()
                return f"250 try {trial + 1}"
            except Refused as refused:
                if not str(refused).startswith("4") or trial == TRIES - 1:
                    raise
            time.sleep(1)
        return ""

    def guess(self, number: int) -> str:
        """One wrong password, for a user there is or one there is not."""
        user = random.choice([*self.options.user, f"nobody-{random.randrange(10_000)}", f"somebody{random.randrange(10_000)}@example.test"])
        visit = Visit(self.options.host, self.options.port, self.tls, source=source(number, self.options.sources), timeout=PATIENCE)
        try:
            visit.sign_in(user, f"guess {number} {random.random()}")
        finally:
            visit.close()
        return "235"

    def attempt(self, do: Callable[[int], str], number: int, due: float) -> None:
        try:
            said = do(number)
        except Refused as refused:
            said = str(refused)
        except OSError as fault:
            said = "no answer" if isinstance(fault, TimeoutError) else type(fault).__name__
        with self.lock:
            self.under_way -= 1
            self.rows.append((due, time.monotonic() - due, said))

    def run(self) -> None:
        options = self.options
        do: Callable[[int], str] = getattr(self, options.what)
        began = time.monotonic()
        with ThreadPoolExecutor(options.workers) as pool:
            for number in range(int(options.rate * options.seconds)):
                due = began + number / options.rate
                if (wait := due - time.monotonic()) > 0:
                    time.sleep(wait)
                with self.lock:
                    is_full = self.under_way >= options.workers
                    if is_full:
                        self.rows.append((due, 0.0, "too many under way"))
                    else:
                        self.under_way += 1
                if not is_full:
                    pool.submit(self.attempt, do, number, due)
        print(json.dumps(self.rows), flush=True)


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("mail", "submit", "guess"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--user", action="append", default=[])
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--sources", type=int, default=1000)
    parser.add_argument("--apart", action="store_true", help="submit: each user has an address of its own")
    parser.add_argument("--recipient", default="b@example.test")
    parser.add_argument("--size", type=int, default=4096)
    return parser.parse_args(words)


if __name__ == "__main__":
    Steady(arguments()).run()

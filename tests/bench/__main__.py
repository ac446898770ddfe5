"""bin/bench: measure accept, relay, queue and idle cost of this checkout, alone or side by side with peers.

    bin/bench accept --postfix                       messages a second until the last durable 250, next to a private Postfix
    bin/bench accept --postfix --shipped             the same with the whole filter in the chain, against a Postfix that filters nothing
    bin/bench relay --postfix                        until the last message is in a sink
    bin/bench relay --peer other=127.0.0.1:2626 --sink-port 2526
    bin/bench filtered --postfix-rspamd              14 KB through the whole filter to a sink, next to Postfix with rspamd; CPU by stage
    bin/bench submission --postfix                   AUTH and STARTTLS on each connection, next to a private Postfix with Dovecot's SASL
    bin/bench stuffing                               200 guesses a second at passwords: what becomes of mail and of people
    bin/bench queue                                  100,000 queued: seconds until ready, memory
    bin/bench idle                                   memory at rest, per connection, with 50 x 25 MB in flight
    bin/bench classifier FOLDER|INDEX                ranking, held ham and missed spam of a labelled stream, learnt one by one

A private appliance with its own store is made in a temporary directory (TMPDIR chooses the disk) and removed again. Progress goes to standard
error, the report to standard output. It prints no rate for a message that was not answered 250, or did not arrive: then it exits 1 and says so.
Exit code 0 also when an aim is missed; `--strict` makes that 3.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from jetmail.errors import JetmailError
from tests.bench import backlog, classifier, filtered, idle, machine, stuffing, submission, traffic
from tests.bench.figures import Aim
from tests.bench.loading import Lied


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON object instead of a report")
    common.add_argument("--strict", action="store_true", help="exit 3 when an aim is missed")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="accept|relay|filtered|submission|stuffing|queue|idle|classifier")
    for verb, text in (("accept", "until the last durable 250"), ("relay", "until the last message is in the sink")):
        traffic_verb = verbs.add_parser(verb, parents=[common], help=text)
        traffic_verb.add_argument("--sessions", type=int, default=20)
        traffic_verb.add_argument("--messages", type=int, default=2000)
        traffic_verb.add_argument("--rounds", type=int, default=5)
        traffic_verb.add_argument("--size", type=int, default=4096, help="octets of a message")
        traffic_verb.add_argument("--keep", action="store_true", help="reuse connections")
        traffic_verb.add_argument("--shipped", action="store_true", help="the chain as it ships, the whole filter in it; the peer filters nothing")
        traffic_verb.add_argument("--postfix", action="store_true", help="start a private Postfix and measure it in turn (root)")
        traffic_verb.add_argument(
            "--peer", action="append", default=[], metavar="NAME=HOST:PORT", help="a server that already runs; several may be given"
        )
        traffic_verb.add_argument("--sink-port", type=int, default=0, help="relay: port of the sink (for peers configured before)")
        traffic_verb.add_argument("--mail-from", default="a@example.test")
        traffic_verb.add_argument("--rcpt-to", default="b@example.test")
    filtering = verbs.add_parser("filtered", parents=[common], help="14 KB through the whole filter to a sink")
    filtering.add_argument("--sessions", type=int, default=20, help="each has a letter of its own")
    filtering.add_argument("--messages", type=int, default=2000)
    filtering.add_argument("--rounds", type=int, default=5)
    filtering.add_argument("--postfix-rspamd", action="store_true", help="start a private Postfix with rspamd and measure it in turn (root)")
    filtering.add_argument("--no-bayes", action="store_true", help="rspamd without Redis and so without a classifier")
    users = verbs.add_parser("submission", parents=[common], help="users who sign in on each connection, until the last durable 250")
    users.add_argument("--sessions", type=int, default=20)
    users.add_argument("--messages", type=int, default=2000)
    users.add_argument("--rounds", type=int, default=5)
    users.add_argument("--size", type=int, default=4096, help="octets of a message")
    users.add_argument("--shipped", action="store_true", help="the chain as it ships, the whole filter in it; the peer filters nothing")
    users.add_argument("--postfix", action="store_true", help="start a private Postfix with Dovecot's SASL and measure it in turn (root)")
    users.add_argument("--peer-hash", choices=("plain", "argon2id"), default="plain", help="how the peer keeps the password (plain: it pays no hash)")
    guessed = verbs.add_parser("stuffing", parents=[common], help="guesses at passwords while mail flows")
    guessed.add_argument("--attempts", type=float, default=200.0, help="guesses a second")
    guessed.add_argument("--seconds", type=float, default=25.0, help="for so long")
    guessed.add_argument("--before", type=float, default=10.0, help="seconds of mail without guesses, to compare with")
    guessed.add_argument("--addresses", type=int, default=1000, help="they come from, 127.0.x.y")
    guessed.add_argument("--mail-rate", type=float, default=50.0, help="messages a second to the MX")
    guessed.add_argument("--user-rate", type=float, default=2.0, help="messages a second of a user who is known")
    guessed.add_argument("--fresh", type=int, default=10, help="users who have not signed in since the start")
    queue = verbs.add_parser("queue", parents=[common], help="restart with a backlog")
    queue.add_argument("--queued", type=int, default=100_000)
    queue.add_argument("--size", type=int, default=4096)
    queue.add_argument("--starts", type=int, default=3)
    queue.add_argument("--settle", type=float, default=15.0, help="seconds it may work before its peak memory is read")
    rest = verbs.add_parser("idle", parents=[common], help="memory")
    rest.add_argument("--connections", type=int, default=500)
    rest.add_argument("--clients", type=int, default=50, help="large messages at a time")
    rest.add_argument("--large", type=int, default=25_000_000, help="octets of a large message")
    labelled = verbs.add_parser("classifier", parents=[common], help="a stream of labelled mail through the statistical filter")
    labelled.add_argument("path", metavar="PATH", help="an index file (TREC: 'spam ../data/inmail.1'), or a folder with spam* and ham* in it")
    labelled.add_argument("--teach", type=int, default=0, metavar="N", help="learn N of each kind, then judge the rest without learning")
    labelled.add_argument("--limit", type=int, default=0, metavar="N", help="stop after N messages")
    labelled.add_argument("--empty", action="store_true", help="begin with an empty model instead of the seed that ships")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    options = arguments(words)
    facts = machine.facts(Path(tempfile.gettempdir()))
    try:
        if options.verb in ("accept", "relay"):
            result = traffic.run(options.verb, options)
            lines = traffic.told(result)
        elif options.verb == "filtered":
            result = filtered.run(options)
            lines = filtered.told(result)
        elif options.verb == "submission":
            result = submission.run(options)
            lines = submission.told(result)
        elif options.verb == "stuffing":
            result = stuffing.run(options)
            lines = stuffing.told(result)
        elif options.verb == "queue":
            result = backlog.run(options)
            lines = backlog.told(result)
        elif options.verb == "classifier":
            result = classifier.run(options)
            lines = classifier.told(result)
        else:
            result = idle.run(options)
            lines = idle.told(result)
    except (Lied, AssertionError, JetmailError) as fault:
        print(f"bin/bench: no figure: {fault}", file=sys.stderr)
        return 1
    aims = [Aim(str(aim["name"]), float(aim["figure"]), float(aim["aim"]), str(aim["unit"]), bool(aim["at_least"])) for aim in result["aims"]]
    if options.json:
        print(json.dumps({**result, "machine": facts}))
    else:
        print("\n".join([*lines, *(f"  {aim}" for aim in aims), machine.told(facts)]))
    return 3 if options.strict and not all(aim.met for aim in aims) else 0


if __name__ == "__main__":
    sys.exit(main())

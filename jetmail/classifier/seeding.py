"""The seed: what a fresh appliance knows before anybody taught it. Made by `jetmail train-seed` of public mail and the texts beside this module.

`ordinary.txt` and `unwanted.txt` are written by ourselves: short mail of many kinds, subject first, separated by lines of '---', with words in
braces that `texts` fills from fixed lists. Old public collections know no receipts, resets and sign-in notices, and would take them for spam.

Only the text takes part: whose servers and mail programs a collection of twenty years ago went through says nothing about today's. The same
sources give the same seed, octet for octet: messages are learnt in the order of their digests, each kind spread evenly over the other.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from pathlib import Path

from jetmail.classifier import features
from jetmail.classifier.features import Features
from jetmail.classifier.model import Model
from jetmail.mail.message import Message

PASSES = 2
VARIANTS = 6  # of each of our own texts
FILE = Path(__file__).with_name("seed.bin")

_FILLERS: dict[str, tuple[str, ...]] = {
    "name": ("Anna", "Mr. Okafor", "Jean-Luc", "Priya", "Tom Becker", "Lucía", "Sam"),
    "company": ("Northwind", "Acme Tools", "Blue Harbour Ltd", "Example Labs", "Café Central", "Redwood & Sons", "Pixelworks"),
    "amount": ("$24.00", "€119.90", "£7.50", "$1,250.00", "39,90 €", "$9.99", "CHF 310.00"),
    "number": ("10482", "INV-2291", "A7K-55203", "2024-0117", "88301745", "R-6104", "4471-03"),
    "digits": ("4242", "0913", "7781", "5507", "3364", "1290", "6648"),
    "date": ("March 14, 2024", "12 June", "2023-11-02", "Monday, 7 October", "03.05.2022", "Friday", "1 February 2025"),
    "street": ("12 Mill Lane, Leeds", "Hauptstr. 5, Köln", "400 Pine St, Suite 2", "8 rue du Port, Nantes", "PO Box 77", "Via Roma 3", "1 Main Rd"),
    "url": ("https://example.com/a/82k", "http://app.example.net/x", "https://example.org/t?id=5", "http://192.0.2.7/in", "https://l.example/9",
            "https://www.example.com/go", "http://example.info/k/2"),
    "user": ("anna@example.com", "info@example.org", "j.smith@example.net", "sales@example.com", "user1", "tom@example.org", "office@example.net"),
}  # fmt: skip


def texts(name: str) -> Iterator[bytes]:
    """The messages of one of our own files ('ordinary', 'unwanted'), each in VARIANTS fillings."""
    pieces = Path(__file__).with_name(f"{name}.txt").read_text("utf-8").split("\n---\n")
    for place, piece in enumerate(pieces):
        for variant in range(VARIANTS):
            filled = {word: values[(place + variant * step) % len(values)] for step, (word, values) in enumerate(_FILLERS.items(), 1)}
            subject, _, text = piece.strip().format(**filled).partition("\n")
            yield f"Subject: {subject}\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n{text}\n".encode()


def make(ham: Iterable[bytes], spam: Iterable[bytes]) -> Model:
    """A model that has learnt the texts of these messages, PASSES times over. It counts as having learnt nothing."""
    ordered = [_ordered(ham), _ordered(spam)]
    spread = [[((place + 0.5) / len(side), label, found) for place, found in enumerate(side)] for label, side in enumerate(ordered) if side]
    model = Model.empty()
    for _ in range(PASSES):
        for _, label, found in heapq.merge(*spread, key=lambda item: item[:2]):
            model.train(found, bool(label))
    return Model(model.weights)


def _ordered(messages: Iterable[bytes]) -> list[Features]:
    """Their text features in the order of their digests, each message once."""
    found: dict[str, Features] = {}
    for octets in messages:
        message = Message(octets)
        found[features.digest(message)] = features.text_only(features.extract(message))
    return [found[key] for key in sorted(found)]

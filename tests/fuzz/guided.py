"""The same, led by what the inputs reach: Atheris (libFuzzer) keeps those that run code no input ran before.

Optional: `pip install atheris`. Half of the inputs are made by tests.fuzz.mutation, half by libFuzzer's own. jetmail must not be imported before
`run`, because what is imported before it is not looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from time import monotonic

from tests.fuzz import mutation
from tests.fuzz.running import Tally, Watch
from tests.fuzz.target import targets

MAX_LENGTH = 120_000  # longer ones are for the other engine: here they would fill the corpus


def run(name: str, seconds: float, seed: int, folder: Path, done: Callable[[Tally], None]) -> None:
    """Fuzz the target of that name; `done(tally)` is called now and then and at the end. Does not return: libFuzzer ends the process."""
    import atheris  # type: ignore[import-not-found,unused-ignore]

    with atheris.instrument_imports(include=["jetmail"]):
        target = targets()[name]
    watch = Watch(target, folder)
    corpus = folder / f"corpus-{name}"
    corpus.mkdir(exist_ok=True)
    seeds = list(dict.fromkeys(target.seeds())) or [b""]
    for place, octets in enumerate(seeds):
        (corpus / f"seed-{place}").write_bytes(octets)
    told = monotonic()

    def one(octets: bytes) -> None:
        nonlocal told
        watch(octets)
        if monotonic() - told > 3:
            told = monotonic()
            done(watch.tally)

    def mutate(octets: bytes, most: int, number: int) -> bytes:
        random = Random(number)
        if random.randrange(2):
            own: bytes = atheris.Mutate(octets, most)
            return own
        return mutation.mutated(random, seeds, target.tokens, octets)[:most]

    options = [f"-max_total_time={int(seconds)}", f"-seed={seed}", f"-max_len={MAX_LENGTH}", "-len_control=10", "-timeout=600", "-rss_limit_mb=4096"]
    atheris.Setup(
        [sys.argv[0], *options, f"-artifact_prefix={folder}/", "-print_final_stats=0", "-verbosity=0", str(corpus)], one, custom_mutator=mutate
    )
    atheris.Fuzz()

"""DKIM verifiers that are not ours: dkimpy (Python), Mail::DKIM (Perl: Debian's libmail-dkim-perl) and mailauth (JavaScript: npm install mailauth,
found by NODE_PATH). Each takes a message and a zone {name: TXT} and answers with (selector, result) of every signature, top to bottom.

Mail::DKIM of Debian 12 knows RSA alone, so `others` leaves what it calls invalid to the two that know more.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache

import dkim

_PERL = r"""
use strict; use Mail::DKIM::Verifier; use Mail::DKIM::DNS; use JSON::PP;
my %zone = %{decode_json($ENV{ZONE})};
{ package Fixed::RR; sub new { my ($class, $txt) = @_; bless { txt => $txt }, $class }
  sub type { 'TXT' } sub txtdata { $_[0]{txt} } sub char_str_list { ($_[0]{txt}) } }
{ no warnings; *Mail::DKIM::DNS::query = sub { my ($name, $type) = @_; return exists $zone{lc $name} ? (Fixed::RR->new($zone{lc $name})) : () }; }
my $verifier = Mail::DKIM::Verifier->new();
binmode STDIN; local $/; $verifier->PRINT(<STDIN>); $verifier->CLOSE;
print encode_json([map { [$_->selector, $_->result_detail] } $verifier->signatures]);
"""


def dkimpy(octets: bytes, zone: Mapping[str, str]) -> list[tuple[str, str]]:
    """Every signature by dkimpy."""
    results = []
    message = dkim.DKIM(octets)
    count = sum(name.lower() == b"dkim-signature" for name, _ in message.headers)
    for index in range(count):
        verifier = dkim.DKIM(octets)
        try:
            found = verifier.verify(index, dnsfunc=lambda name, timeout=5: zone.get(name.decode().rstrip("."), "").encode() or None)
        except dkim.ValidationError:  # where the body differs it raises, where the header does it says no
            found = False
        results.append((verifier.signature_fields[b"s"].decode(), "pass" if found else "fail"))
    return results


_NODE = r"""
const { dkimVerify } = require('mailauth/lib/dkim/verify');
const zone = JSON.parse(process.env.ZONE);
const pieces = [];
const resolver = async (name, type) => {
    if (type !== 'TXT' || !zone[name.toLowerCase()]) throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
    return [[zone[name.toLowerCase()]]];
};
process.stdin.on('data', piece => pieces.push(piece));
process.stdin.on('end', async () => {
    const found = await dkimVerify(Buffer.concat(pieces), { resolver });
    console.log(JSON.stringify(found.results.map(each => [each.selector, each.status.result])));
});
"""


@cache
def _has(*command: str) -> bool:
    return shutil.which(command[0]) is not None and not subprocess.run(command, capture_output=True, timeout=60, check=False).returncode


def has_perl() -> bool:
    """Whether Mail::DKIM is here."""
    return _has("perl", "-MMail::DKIM::Verifier", "-MJSON::PP", "-e", "1")


def has_node() -> bool:
    """Whether mailauth is here."""
    return _has("node", "-e", "require('mailauth/lib/dkim/verify')")


def perl(octets: bytes, zone: Mapping[str, str]) -> list[tuple[str, str]]:
    """Every signature by Mail::DKIM."""
    return [(selector, detail.partition(" ")[0]) for selector, detail in _run(["perl", "-e", _PERL], octets, zone)]


def node(octets: bytes, zone: Mapping[str, str]) -> list[tuple[str, str]]:
    """Every signature by mailauth."""
    return [(selector, result) for selector, result in _run(["node", "-e", _NODE], octets, zone)]


def others(octets: bytes, zone: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """What each of those that are here besides dkimpy says."""
    said = {}
    if has_perl():
        said["Mail::DKIM"] = [each for each in perl(octets, zone) if each[1] != "invalid"]
    if has_node():
        said["mailauth"] = node(octets, zone)
    return said


def _run(command: list[str], octets: bytes, zone: Mapping[str, str]) -> list[list[str]]:
    environment = {**os.environ, "ZONE": json.dumps(dict(zone))}
    done = subprocess.run(command, input=octets, capture_output=True, timeout=60, check=True, env=environment)
    found: list[list[str]] = json.loads(done.stdout)
    return found

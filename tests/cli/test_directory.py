"""domain, recipient, alias, rule, rules: what people configure."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import CommandLine

CONDITIONS = {"senders": [{"sender_type": "domain", "sender_value": "a.example"}]}


def test_a_domain_lives(jetmail: CommandLine) -> None:
    """Added, listed, shown, changed, removed."""
    jetmail.ok("domain", "add", "Example.ORG", "--destination", "mail.example.org:2525", "--verified", "--tls", "required")
    (row,) = jetmail.rows("domain", "list")
    assert (row["name"], row["verified_at"], row["destinations"]) == (
        "example.org", jetmail.now, [{"host": "mail.example.org", "port": 2525, "priority": 10, "tls": "required"}],
    )  # fmt: skip
    assert "mail.example.org:2525" in jetmail.ok("domain", "show", "example.org")
    jetmail.ok("domain", "set", "example.org", "--recipients", "listed", "--spam-score", "5.5", "--inbound", "off")
    (row,) = jetmail.rows("domain", "show", "example.org")
    assert (row["recipients"], row["spam_score"], row["inbound"]) == ("listed", 5.5, False)
    jetmail.ok("domain", "set", "example.org", "--spam-score", "default", "--tls", "none")
    (row,) = jetmail.rows("domain", "show", "example.org")
    assert row["spam_score"] is None and row["destinations"][0]["tls"] == "none"
    jetmail.ok("domain", "remove", "example.org")
    assert jetmail.rows("domain", "list") == []


def test_destinations_have_ports_and_priorities(jetmail: CommandLine) -> None:
    """HOST, HOST:PORT, HOST:PORT:PRIORITY, and IPv6 in brackets."""
    jetmail.ok(
        "domain", "add", "example.org", "--verified", "--destination", "a.example.org", "--destination", "b.example.org:2525", "--destination",
        "c.example.org:25:20", "--destination", "[2001:db8::1]:25:5", "--destination", "2001:db8::2",
    )  # fmt: skip
    (row,) = jetmail.rows("domain", "show", "example.org")
    assert [(each["host"], each["port"], each["priority"]) for each in row["destinations"]] == [
        ("2001:db8::1", 25, 5), ("2001:db8::2", 25, 10), ("a.example.org", 25, 10), ("b.example.org", 2525, 10), ("c.example.org", 25, 20),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("domain", "add", "not a domain"), "name: "),
        (("domain", "add", "example.org", "--destination", "host:99999"), "destination: "),
        (("domain", "add", "example.org", "--spam-score", "high"), "spam_score: "),
        (("domain", "add", "example.org", "--tls", "maybe"), "--tls: "),
        (("domain", "add"), "NAME: missing"),
        (("domain", "set", "example.org"), "changes: "),
        (("recipient", "add", "example.org"), "address: "),
        (("recipient", "add"), "ADDRESS: none given"),
        (("rule", "add", "block"), "conditions: "),
        (("rule", "add", "block", "--conditions", "{"), "--conditions: is no JSON"),
        (("rule", "add", "block", "--subject", "regex:(?=x)"), "subjects[0].subject_value: "),
        (("frobnicate",), "COMMAND: invalid choice: "),
        ((), "COMMAND: missing"),
    ],
)
def test_mistakes_name_field_and_reason(jetmail: CommandLine, words: tuple[str, ...], told: str) -> None:
    """A mistake is one line on standard error, exit code 2, and changes nothing."""
    if words[:2] in (("domain", "set"), ("recipient", "add")):
        jetmail.ok("domain", "add", "example.org", "--destination", "127.0.0.1", "--verified")
    jetmail.run(*words)
    assert (jetmail.code, jetmail.out) == (2, "")
    assert jetmail.err.startswith(f"jetmail: {told}") and jetmail.err.count("\n") == 1, jetmail.err


def test_what_is_not_there_is_not_found(jetmail: CommandLine) -> None:
    """Exit code 1 and one line for everything that does not exist."""
    for words in (("domain", "show", "example.org"), ("domain", "remove", "example.org"), ("recipient", "list", "example.org"),
                  ("alias", "remove", "a@example.org"), ("rule", "show", "nothing"), ("alias", "list", "example.org")):  # fmt: skip
        jetmail.run(*words)
        assert jetmail.code == 1 and jetmail.err.startswith("jetmail: no such "), words


def test_twice_is_a_conflict(jetmail: CommandLine) -> None:
    """A domain that is there already is not made again."""
    jetmail.ok("domain", "add", "example.org", "--destination", "127.0.0.1", "--verified")
    jetmail.run("domain", "add", "example.org", "--destination", "127.0.0.1", "--verified")
    assert jetmail.code == 1 and "already" in jetmail.err


def test_an_odd_domain_is_warned_of(jetmail: CommandLine) -> None:
    """Without proof or destination it is added, and said to be of no use yet."""
    jetmail.ok("domain", "add", "example.org")
    assert "not verified" in jetmail.err and "no destination" in jetmail.err


def test_recipients_of_several_domains(jetmail: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Addresses may be of several domains, on the command line and in a file; all domains must be there first."""
    jetmail.ok("domain", "add", "example.org", "--destination", "127.0.0.1", "--verified")
    jetmail.run("recipient", "add", "alice@example.org", "bob@example.net")
    assert jetmail.code == 1 and jetmail.rows("recipient", "list", "example.org") == []
    jetmail.ok("domain", "add", "example.net", "--destination", "127.0.0.1", "--verified")
    file = tmp_path_factory.mktemp("given") / "addresses.txt"
    file.write_text("# people\ncarol@example.org\n\n")
    assert "added  3" in jetmail.ok("recipient", "add", "alice@example.org", "bob@example.net", "--file", str(file))
    assert jetmail.rows("recipient", "list", "example.org") == [
        {"address": "alice@example.org", "domain": "example.org"}, {"address": "carol@example.org", "domain": "example.org"},
    ]  # fmt: skip
    jetmail.ok("recipient", "remove", "carol@example.org")
    jetmail.run("recipient", "remove", "carol@example.org")
    assert jetmail.code == 1


def test_aliases(jetmail: CommandLine) -> None:
    """Set, listed, traced, removed; a circle is refused."""
    jetmail.ok("domain", "add", "example.org", "--destination", "127.0.0.1", "--verified", "--recipients", "listed")
    jetmail.ok("recipient", "add", "alice@example.org")
    jetmail.ok("alias", "add", "sales@example.org", "alice@example.org", "bob@example.net")
    assert jetmail.rows("alias", "list", "example.org") == [{"address": "sales@example.org", "targets": ["alice@example.org", "bob@example.net"]}]
    assert jetmail.rows("alias", "trace", "sales@example.org")[0]["targets"] == ["alice@example.org", "bob@example.net"]
    jetmail.run("alias", "trace", "nobody@example.org")
    assert jetmail.code == 1 and "unknown recipient" in jetmail.out
    jetmail.run("alias", "add", "circle@example.org", "circle2@example.org")
    jetmail.run("alias", "add", "circle2@example.org", "circle@example.org")
    assert jetmail.code == 2 and "lead back" in jetmail.err
    jetmail.ok("alias", "remove", "sales@example.org")


def test_rule_options_are_the_api_s_conditions(jetmail: CommandLine) -> None:
    """Every option becomes the condition of its kind, types told from the value."""
    jetmail.ok("domain", "add", "example.org", "--destination", "127.0.0.1", "--verified")
    jetmail.ok(
        "rule", "add", "block", "--domain", "example.org", "--sender", "spam.example", "--sender", "regex:^x", "--recipient", "alice@example.org",
        "--subject", "starts_with:Re: :", "--body", "casino", "--header", "X-Mailer: exact:Bulk", "--ip", "192.0.2.0/24", "--ip",
        "192.0.2.1-192.0.2.9", "--ip", "2001:db8::1", "--attachment", "extension:exe", "--attachment", "any", "--min-size", "10", "--max-size", "99",
    )  # fmt: skip
    (rule,) = jetmail.rows("rule", "list", "--domain", "example.org")
    assert rule["conditions"] == {
        "senders": [{"sender_type": "domain", "sender_value": "spam.example"}, {"sender_type": "regex", "sender_value": "^x"}],
        "recipients": [{"recipient_type": "email", "recipient_value": "alice@example.org"}],
        "subjects": [{"match_type": "starts_with", "subject_value": "Re: :"}],
        "body": [{"match_type": "contains", "body_value": "casino"}],
        "headers": [{"header_name": "X-Mailer", "match_type": "exact", "header_value": "Bulk"}],
        "ips": [
            {"ip_type": "cidr", "ip_value": "192.0.2.0/24"},
            {"ip_type": "range", "ip_value": "192.0.2.1-192.0.2.9"},
            {"ip_type": "single", "ip_value": "2001:db8::1"},
        ],
        "attachments": [{"match_type": "extension", "match_value": "exe"}, {"match_type": "any"}],
        "size": {"min_size": 10, "max_size": 99},
    }


def test_a_rule_lives(jetmail: CommandLine) -> None:
    """Added from JSON, changed, disabled, removed."""
    jetmail.ok(
        "rule", "add", "allow", "--name", "partner", "--conditions", json.dumps({"senders": [{"sender_type": "domain", "sender_value": "a.example"}]})
    )
    (rule,) = jetmail.rows("rule", "list")
    assert (rule["scope"], rule["action"], rule["priority"]) == ("appliance", "allow", 100)
    jetmail.ok("rule", "set", rule["uuid"], "--enabled", "no", "--priority", "5", "--action", "block")
    (rule,) = jetmail.rows("rule", "show", rule["uuid"])
    assert (rule["enabled"], rule["priority"], rule["action"]) == (False, 5, "block")
    jetmail.run("rule", "remove", rule["uuid"], answer="")
    assert jetmail.code == 1
    jetmail.ok("rule", "remove", rule["uuid"])
    assert jetmail.rows("rule", "list") == []


def test_rules_prints_the_chain(jetmail: CommandLine) -> None:
    """The effective order, with stages in their order."""
    rows = jetmail.rows("rules")
    assert [row["order"] for row in rows] == sorted(row["order"] for row in rows)
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    assert stages == [stage for stage in ("connect", "sender", "recipient", "content", "judgement") if stage in stages]
    assert "thresholds" in jetmail.ok("rules")

"""jetmail train and train-seed, and the ways mail lies in files."""

from __future__ import annotations

import mailbox
from pathlib import Path

import pytest

from jetmail.cli import mailfiles
from jetmail.cli.mailfiles import MailFiles
from jetmail.errors import UsageError
from jetmail.store.database import InlineDatabase
from jetmail.store.traffic import learning
from tests.classifier.samples import mail
from tests.cli.conftest import CommandLine


@pytest.fixture
def mails(tmp_path: Path) -> Path:
    """A folder of ham files, a maildir of spam, an mbox of spam."""
    (tmp_path / "ham" / "deep").mkdir(parents=True)
    for number in range(5):
        (tmp_path / "ham" / ("deep" if number % 2 else ".") / f"{number}.eml").write_bytes(mail(number, False))
    (tmp_path / "ham" / "cmds").write_bytes(b"mv 1 2\nmv 3 4\n")
    maildir = mailbox.Maildir(tmp_path / "Maildir")
    box = mailbox.mbox(tmp_path / "spam.mbox")
    for number in range(4):
        maildir.add(mail(number, True))
        box.add(mail(number, True) + b"\r\nFrom the desk of a prince\r\n")
    (tmp_path / "Maildir" / "tmp" / "half").write_bytes(mail(9, True))
    box.close()
    maildir.close()
    return tmp_path


def found(*paths: Path) -> list[bytes]:
    """The messages below."""
    return [each.octets for each in MailFiles([str(path) for path in paths]) if each.octets is not None]


def test_folders(mails: Path) -> None:
    """A folder's files in any depth are messages; one that does not begin like mail is counted and left out."""
    assert sorted(found(mails / "ham")) == sorted(mail(number, False) for number in range(5))
    assert sum(each.octets is None for each in MailFiles([str(mails / "ham")])) == 1


def test_maildir(mails: Path) -> None:
    """Of a maildir what is in cur and new."""
    assert sorted(octets.replace(b"\r\n", b"\n") for octets in found(mails / "Maildir")) == sorted(
        mail(number, True).replace(b"\r\n", b"\n") for number in range(4)
    )


def test_mbox(mails: Path) -> None:
    """An mbox is split at its From lines; quoted ones in the text are unquoted."""
    messages = found(mails / "spam.mbox")
    assert len(messages) == 4
    assert all(b"\nFrom the desk" in octets.replace(b"\r\n", b"\n") for octets in messages)


def test_sizes(mails: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a huge message only the beginning is kept, and the octets read add up to the size of the files."""
    monkeypatch.setattr(mailfiles, "MAX_OCTETS", 300)
    (mails / "big").write_bytes(b"From a\nSubject: big\n\n" + b"x" * 200_000 + b"\n\nFrom b\nSubject: small\n\ny\n")
    files = MailFiles([str(mails / "big"), str(mails / "spam.mbox")])
    all_found = list(files)
    assert [len(each.octets or b"") <= 300 for each in all_found] == [True] * 6
    assert all_found[-1].read == files.size


@pytest.mark.parametrize("path", ["nowhere", "empty"])
def test_no_files(tmp_path: Path, path: str) -> None:
    """A path that is not there, or holds nothing, is told."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError):
        MailFiles([str(tmp_path / path)])


def test_train(jetmail: CommandLine, mails: Path) -> None:
    """Each message is learnt once, whatever file it is in; the opposite turns it; the summary says so."""
    assert jetmail.rows("train", "ham", str(mails / "ham")) == [{"label": "ham", "person": "", "new": 5, "turned": 0, "known": 0, "skipped": 1}]
    assert jetmail.rows("train", "spam", str(mails / "Maildir"), str(mails / "ham" / "0.eml"))[0] | {"label": ""} == {
        "label": "", "person": "", "new": 4, "turned": 1, "known": 0, "skipped": 0,
    }  # fmt: skip
    assert "known before  4" in jetmail.ok("train", "spam", str(mails / "Maildir"))
    database = InlineDatabase(str(jetmail.directory / "var" / "jetmail.db"))
    assert database.read(learning.pending) == 10
    database.close()


def test_train_person(jetmail: CommandLine, mails: Path) -> None:
    """With --person only their filter learns; a person of no domain of ours is refused before anything is read."""
    jetmail.ok("domain", "add", "demo.test", "--destination", "127.0.0.1:25", "--verified")
    assert jetmail.rows("train", "spam", str(mails / "spam.mbox"), "--person", "Ann@demo.test")[0]["new"] == 4
    jetmail.run("train", "spam", str(mails / "spam.mbox"), "--person", "ann@other.test")
    assert (jetmail.code, jetmail.err) == (1, "jetmail: no such address: ann@other.test\n")


def test_train_nothing(jetmail: CommandLine, mails: Path) -> None:
    """A file that is no mail teaches nothing, and the exit code says so; a missing one is told."""
    jetmail.run("train", "ham", str(mails / "ham" / "cmds"))
    assert jetmail.code == 1
    jetmail.run("train", "ham", str(mails / "nowhere"))
    assert jetmail.code == 2
    assert "does not exist" in jetmail.err


def test_train_seed(jetmail: CommandLine, mails: Path) -> None:
    """The same mail makes the same file."""
    sources = ["--ham", str(mails / "ham"), "--spam", str(mails / "spam.mbox"), "--out"]
    shown = jetmail.rows("train-seed", *sources, str(mails / "one.bin"))
    assert (shown[0]["ham"], shown[0]["spam"]) == (5, 4)
    jetmail.ok("train-seed", *sources, str(mails / "two.bin"))
    assert (mails / "one.bin").read_bytes() == (mails / "two.bin").read_bytes()

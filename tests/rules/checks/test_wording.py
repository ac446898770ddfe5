"""Findings about what a text wants. The sentences are this test's own."""

from __future__ import annotations

import pytest

from tests.rules.checks.judging import mail, page, symbols


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("Please verify your account today.", "WORDING_ACCOUNT"),
        ("Your mailbox has been suspended until you sign in.", "WORDING_ACCOUNT"),
        ("Ihr Konto wurde gesperrt.", "WORDING_ACCOUNT"),
        ("Votre compte a été suspendu.", "WORDING_ACCOUNT"),
        ("Su cuenta ha sido bloqueada.", "WORDING_ACCOUNT"),
        ("Sua conta foi suspensa.", "WORDING_ACCOUNT"),
        ("Il tuo conto è stato bloccato.", "WORDING_ACCOUNT"),
        ("Uw rekening is geblokkeerd.", "WORDING_ACCOUNT"),
        ("Your ac\u200bcount has been lim\u200bited.", "WORDING_ACCOUNT"),
        ("Enter your recovery phrase to connect your wallet and claim your tokens.", "WORDING_WALLET"),
        ("Congratulations, you have been selected! Claim your free gift card.", "WORDING_PRIZE"),
        ("I am Mrs. Grace. My late husband left the sum of USD 4,500,000.00. You are the beneficiary; reply to me with your full names. Strictly "
         "confidential. God bless you.", "WORDING_FUND"),
        ("Hot single women in your area want to meet you tonight, see my private photos.", "WORDING_ADULT"),
        ("I have recorded a video of you through your webcam. I hacked your device. Send 900 USD in bitcoin to my wallet.", "WORDING_EXTORTION"),
        ("Send 900 USD in bitcoin: I recorded a video of you masturbating. 1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "WORDING_EXTORTION_COIN"),
        ("This weird trick melts belly fat; doctors are stunned by the keto formula.", "WORDING_HEALTH"),
        ("Your parcel could not be delivered; pay the customs fee.", "WORDING_PARCEL"),
        ("Act now, limited time! Boost your traffic, no obligation, money back.", "WORDING_OFFER"),
        ("Notificação judicial: processo em anexo na justiça do trabalho.", "WORDING_COURT"),
        ("Somebody shared a document with you. View the document online. See the remittance advice.", "WORDING_FILE"),
        ("Dear customer,", "WORDING_GREETING"),
        ("Click here to log in within 24 hours.", "WORDING_PRESS"),
    ],
)  # fmt: skip
def test_themes(text: str, symbol: str) -> None:
    """Each theme is known, in several languages."""
    assert symbol in symbols(mail(text + "\r\n"))
    assert symbol in symbols(page(f"<p>{text}</p>"))


@pytest.mark.parametrize(
    "text",
    [
        "The beneficiary of the fund is named in the contract we sent to the bank.",
        "The patch fixes a crash when the account table is empty.",
        "I will be in the office from Monday; call me if the parcel for Anna comes.",
        "Wir treffen uns am Donnerstag um zehn, bitte die Unterlagen mitbringen.",
        "Le compte rendu de la réunion est en pièce jointe.",
        "The wallet of keys in the test suite must be rotated; see the commit.",
    ],
)
def test_ordinary_letters(text: str) -> None:
    """Words of all days are no theme."""
    assert symbols(mail(text + "\r\n")) == set()

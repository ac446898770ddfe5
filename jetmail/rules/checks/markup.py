"""The HTML of a message: what it hides, what it asks for, what it is made of."""

from __future__ import annotations

from zope.interface import implementer

from jetmail.interfaces import IRule
from jetmail.mail.message import Message
from jetmail.rules.analysis import hosts, letters
from jetmail.rules.analysis.content import Content, read_content
from jetmail.rules.analysis.rule import ContentRule, Notes
from jetmail.rules.facts import Facts
from jetmail.rules.policy import Policy
from jetmail.rules.symbols import symbols

SAMPLE = 16_000
WORDS_SAMPLE = 3_000


@implementer(IRule)
class Markup(ContentRule):
    """Findings about HTML and about letters of the text."""

    SYMBOLS = symbols(
        "Text",
        ("HTML_HIDDEN_TEXT", 1.5, "Much of the text is kept from sight."),
        ("HTML_TINY_TEXT", 0.4, "Text is set too small to see."),
        ("HTML_INVISIBLE_INK", 1.0, "Text has the colour of its ground."),
        ("HTML_FORM", 0.5, "The message holds a form to fill in."),
        ("HTML_FORM_PASSWORD", 3.0, "The message asks for a password in a form."),
        ("HTML_SCRIPT", 1.0, "The message holds a program."),
        ("HTML_REFRESH", 2.0, "The message leads on to another page by itself."),
        ("HTML_FRAME", 0.5, "The message embeds another page."),
        ("HTML_OBJECT", 1.0, "The message embeds an object."),
        ("HTML_BASE", 1.5, "Links of the message are relative to a page elsewhere."),
        ("HTML_DATA_LINK", 1.5, "A link of the message holds a whole page."),
        ("HTML_LETTER_NUMBERS", 1.5, "Ordinary letters are written as numbers, so that programs do not read them."),
        ("HTML_PICTURES_ONLY", 1.5, "The message is a picture to click, with hardly any text."),
        ("HTML_PICTURE_TEXT", 0.6, "The message is large pictures with little text."),
        ("TEXT_MIXED", 2.5, "Words of the text mix alphabets."),
        ("TEXT_STYLED", 1.5, "The text is written in symbols instead of letters."),
        ("TEXT_INVISIBLE", 1.8, "Words of the text are cut by invisible characters."),
        ("TEXT_BRAND_IMITATED", 1.5, "The text imitates the name of a known company with look-alike letters."),
    )  # fmt: skip

    def note(self, notes: Notes, facts: Facts, policy: Policy, message: Message) -> None:
        """See the class."""
        content = message.once(read_content)
        for _, page in content.structure.pages[:10]:
            counts = page.counts
            if page.has_invisible_ink:
                notes.add("HTML_INVISIBLE_INK")
            if page.has_tiny:
                notes.add("HTML_TINY_TEXT")
            if page.passwords:
                notes.add("HTML_FORM_PASSWORD")
            elif page.forms and (counts.get("input") or counts.get("textarea")):
                notes.add("HTML_FORM", page.forms[0][:100])
            if page.script.strip():
                notes.add("HTML_SCRIPT")
            if page.refresh:
                notes.add("HTML_REFRESH", page.refresh[:100])
            if counts.get("iframe") or counts.get("frame"):
                notes.add("HTML_FRAME")
            if counts.get("object") or counts.get("embed") or counts.get("applet"):
                notes.add("HTML_OBJECT")
            if page.base and (base := hosts.parse_url(page.base)) is not None and hosts.registrable(base.host) != content.registered:
                notes.add("HTML_BASE", base.host)
            if any(link.target[:10].lower().startswith(("data:text", "data:appl", "javascript", "vbscript:")) for link in page.links[:200]):
                notes.add("HTML_DATA_LINK")
            if page.letter_references >= 20 and page.letter_references * 10 > content.letters:
                notes.add("HTML_LETTER_NUMBERS", str(page.letter_references))
        if content.hidden_letters > 400 and content.hidden_letters * 2 > content.letters:
            notes.add("HTML_HIDDEN_TEXT", f"{content.hidden_letters} letters")
        self._pictures(notes, content)
        self._letters(notes, content)

    def _pictures(self, notes: Notes, content: Content) -> None:
        images = [image for _, page in content.structure.pages for image in page.images]
        large = [image for image in images if image.width >= 200 or image.height >= 150 or not (image.width or image.height)]
        if not large:
            return
        if not content.links:
            if content.letters < 20:
                notes.add("HTML_PICTURE_TEXT")
            return
        linked = any(link.has_image for link in content.links)
        if content.letters < 120 and linked:
            notes.add("HTML_PICTURES_ONLY")
        elif content.letters < 400 and linked:
            notes.add("HTML_PICTURE_TEXT")

    def _letters(self, notes: Notes, content: Content) -> None:
        text = content.structure.text[:SAMPLE]
        if not text.isascii():
            if found := letters.mixed_words(text):
                notes.add("TEXT_MIXED", f"{found} places", 1.0 if found > 1 else 0.5)
            if letters.styled(text) >= 6:
                notes.add("TEXT_STYLED")
            if (found := letters.invisible_inside(text)) >= 3:
                notes.add("TEXT_INVISIBLE", f"{found} places")
        if imitated := self.maps.brands.imitated_in(text[:WORDS_SAMPLE]):
            notes.add("TEXT_BRAND_IMITATED", imitated)

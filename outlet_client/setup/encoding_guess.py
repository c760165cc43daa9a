"""How a file's bytes stand for characters, guessed from the bytes.

Invariant: what is all UTF-8 is UTF-8. Of anything else the guess is only as sure as the letters
that it gives are common ones.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from typing import TYPE_CHECKING

from outlet_client.setup.guess import Guess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_ASCII = bytes(range(0x80))
_SAMPLE = 2**16
_WORD = re.compile(rb"[\x40-\xff]*[\x80-\xff][\x40-\xff]*")
_LEAST, _IN_RUNS = 8, 0.6
_COMMON, _AHEAD = 0.7, 0.1


def encoding_of(chunks: Iterable[bytes]) -> Guess:
    """Guesses the encoding of a file.

    Args:
        chunks: The file's bytes, best all of them: the first byte beyond ASCII may come late.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    high: Counter[int] = Counter()
    some = bytearray()
    is_utf8 = True
    for number, chunk in enumerate(chunks):
        if number == 0 and (wide := _wide(chunk[:4096])) is not None:
            return wide
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError:
            is_utf8 = False
        if not chunk.isascii():
            high.update(chunk.translate(None, delete=_ASCII))
            for word in _WORD.finditer(chunk):
                if len(some) > _SAMPLE:
                    break
                some += word[0] + b" "
    if is_utf8:
        what = "all of the file is UTF-8" if high else "no character beyond ASCII"
        return Guess("utf-8-sig", what)
    return _of_letters(bytes(some)) or _western(high)


def _wide(start: bytes) -> Guess | None:
    """Latin text in UTF-16 has a zero in every second byte, and often a mark before it."""
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return Guess("utf-32", "the file begins with UTF-32's mark")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return Guess("utf-16", "the file begins with UTF-16's mark")
    for name, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if len(zeros) > 1 and zeros.count(0) > len(zeros) * 0.7:
            return Guess(name, "every second byte is zero, as in UTF-16")
    return None


def _western(high: Counter[int]) -> Guess:
    signs = {byte: bytes([byte]).decode("cp1252", "replace") for byte in high}
    letters = sum(count for byte, count in high.items() if signs[byte].isalpha())
    name = "latin-1" if "\ufffd" in signs.values() else "cp1252"
    why = "not UTF-8; read as Windows text, most signs beyond ASCII are letters"
    return Guess(name, why, letters * 2 > high.total())


# --- letters of other scripts ---------------------------------------------------------------------


def _of_letters(data: bytes) -> Guess | None:
    """Guesses text of which most letters are beyond ASCII: they stand beside each other.

    Returns:
        None where they stand alone, as accented ones do among others.
    """
    is_high = [byte > 0x7F for byte in data]  # noqa: PLR2004  (the last of ASCII)
    beside = sum(
        one and (before or after)
        for before, one, after in zip(
            [False, *is_high], is_high, [*is_high[1:], False], strict=False
        )
    )
    if sum(is_high) < _LEAST or beside < sum(is_high) * _IN_RUNS:
        return None
    scores = sorted(
        ((_share(data, name, is_common), name) for name, is_common in _SCRIPTS.items()),
        key=lambda score: (-score[0], -list(_SCRIPTS).index(score[1])),
    )
    (best, name), (second, _) = scores[0], scores[1]
    if best < _COMMON:
        return None
    why = f"not UTF-8; read as {name}, {best:.0%} of the letters beyond ASCII are common ones"
    return Guess(name, why, best - second > _AHEAD)


def _share(data: bytes, name: str, is_common: Callable[[str], bool]) -> float:
    """Which share of the letters beyond ASCII are common, if these bytes are in an encoding."""
    text = codecs.getincrementaldecoder(name)("replace").decode(data)
    letters = [character for character in text if not character.isascii()]
    bad = letters.count("\ufffd") * 10
    return sum(map(is_common, letters)) / max(len(letters) + bad, 1)


def _led(encoding: str, first: int, last: int) -> Callable[[str], bool]:
    """Characters that an encoding keeps under its first bytes: those that are often needed."""

    def is_common(character: str) -> bool:
        try:
            return first <= character.encode(encoding)[0] <= last
        except UnicodeEncodeError:
            return False

    return is_common


_KANJI = _led("cp932", 0x88, 0x97)
_THAI = (("\u0e01", "\u0e2e"), ("\u0e30", "\u0e3a"), ("\u0e40", "\u0e4c"))
_SCRIPTS: dict[str, Callable[[str], bool]] = {
    "gb18030": _led("gb2312", 0xB0, 0xD7),
    "big5": _led("big5", 0xA4, 0xC6),
    "cp932": lambda letter: "\u3041" <= letter <= "\u30fc" or _KANJI(letter),
    "cp949": _led("euc_kr", 0xB0, 0xC8),
    "cp1251": lambda letter: "\u0430" <= letter <= "\u044f",
    "cp874": lambda letter: any(first <= letter <= last for first, last in _THAI),
}
"""Encodings, and which of their characters are common: Chinese, Japanese, Korean, Russian,
Thai; of two that fit alike the later one has the fewer such characters"""

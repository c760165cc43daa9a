"""What amounts are marked with: currencies' codes and signs, debit and credit.

Invariant: a word stands for the currencies it may be, the likeliest first, and never for one that
it merely resembles; a word that is none of these stands for nothing.
"""

from __future__ import annotations

_CODES = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN
BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS
GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW
KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD
NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD
SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES
VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
CODES = frozenset(_CODES.split())
"""ISO 4217, of money that people pay with."""

_WITHOUT_CENTS = "CLP ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
WITHOUT_CENTS = frozenset(_WITHOUT_CENTS.split())
"""Currencies that have no smaller unit."""

_SIGNS = {
    "$": "USD SGD HKD AUD CAD NZD TWD MXN ARS CLP COP BND FJD BBD JMD TTD BSD BZD BMD KYD XCD",
    "us$": "USD", "s$": "SGD", "sg$": "SGD", "hk$": "HKD", "a$": "AUD", "au$": "AUD",
    "c$": "CAD", "ca$": "CAD", "can$": "CAD", "nz$": "NZD", "nt$": "TWD", "mx$": "MXN",
    "r$": "BRL", "mop$": "MOP", "b$": "BND",
    "€": "EUR", "euro": "EUR", "euros": "EUR",
    "£": "GBP EGP GIP FKP SHP", "\uffe1": "GBP",
    "¥": "JPY CNY", "\uffe5": "JPY CNY", "円": "JPY", "jp¥": "JPY", "元": "CNY TWD HKD",
    "cn¥": "CNY", "rmb": "CNY", "人民币": "CNY", "港元": "HKD", "港币": "HKD",
    "fr": "CHF", "fr.": "CHF", "sfr": "CHF", "sfr.": "CHF",
    "kr": "SEK NOK DKK ISK", "kr.": "DKK SEK NOK ISK",
    "rs": "INR PKR LKR NPR MUR SCR", "rs.": "INR PKR LKR NPR MUR SCR", "₹": "INR",
    "rm": "MYR", "rp": "IDR", "rp.": "IDR", "฿": "THB", "บาท": "THB", "₩": "KRW", "원": "KRW",
    "₫": "VND", "đ": "VND", "₱": "PHP", "₽": "RUB",
    "zł": "PLN", "kč": "CZK", "ft": "HUF", "lei": "RON",
    "₺": "TRY", "tl": "TRY", "₪": "ILS", "₴": "UAH", "₸": "KZT", "₦": "NGN", "r": "ZAR",
    "dhs": "AED MAD", "dh": "AED MAD", "dhs.": "AED MAD", "sr": "SAR", "qr": "QAR",
    "kd": "KWD", "bd": "BHD",
}  # fmt: skip

SIDES = {
    **dict.fromkeys(("dr", "dr.", "d", "debit", "s", "soll"), "debit"),
    **dict.fromkeys(("cr", "cr.", "c", "credit", "h", "haben"), "credit"),
}
"""The side of a ledger that a mark says, in small letters; German ones too."""


def candidates(word: str) -> tuple[str, ...]:
    """The currencies that a code or sign may be, the likeliest first; none where it is neither.

    Args:
        word: Such as "SGD", "S$" or "$"; case does not matter.
    """
    bare = word.strip()
    for code in (bare.upper(), bare.upper().removesuffix("$")):
        if code in CODES:
            return (code,)
    return tuple(_SIGNS.get(bare.casefold(), "").split())

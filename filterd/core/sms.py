"""What the model is told about an SMS: its words, and numbers beside them."""

from __future__ import annotations

import re

import numpy as np

from filterd.core.charset import decode
from filterd.core.features import Features, cut, log, text_side
from filterd.core.normalize import Normalizer, fold

_TEXT = ("text_chars", "text_words", "text_upper", "text_digits", "text_punctuation", "text_exclamations")
_MORE_TEXT = ("text_currency", "text_other", "text_cyrillic", "text_cjk", "text_none", "text_distinct")
SMS_SIDE = (
    *_TEXT,
    *_MORE_TEXT,
    *("uni_invisible", "uni_mixed", "uni_spaced"),
    *("sms_urls", "sms_phones", "sms_amounts", "sms_emails", "sms_code", "sms_premium", "sms_short_code", "sms_reply"),
)
"""Names of the side features of SMS; the part before the first underscore is the group."""

_CODE = re.compile(
    r"(?:\b(?:code|otp|pin|passcode|verification|c[o\u00f3]digo|kod|codice)\b[^\n]{0,40}?\b[A-Z]{0,2}-?\d{4,8}\b)"
    r"|(?:\b\d{4,8}\b[^\n]{0,40}?\b(?:code|otp|pin|passcode|verification|c[o\u00f3]digo|kod|codice)\b)",
    re.IGNORECASE,
)
_PREMIUM = re.compile(r"\b0?9\d{9}\b|\b(?:087|090|091|1-?900)\d{6,9}\b|\bp/?m(?:in|sg)?\b|\bppm\b", re.IGNORECASE)
_SHORT_CODE = re.compile(r"\b(?:to|at|on|from)\s+\d{4,6}\b", re.IGNORECASE)
_REPLY = re.compile(r"\b(?:reply|text|txt|send)\s+(?:\w+\s+){0,3}(?:to\b|stop\b|yes\b)", re.IGNORECASE)


def text_of(raw: bytes) -> str:
    """The text of an SMS as the gateway hands it over: UTF-8, anything else guessed."""
    return decode(raw, "utf-8")[0].replace("\0", " ")


def extract_sms(text: str, normalizer: Normalizer) -> Features:
    """The features of an SMS."""
    text = cut(text)
    folded = fold(text)
    words = normalizer.words(folded.text)
    side = {
        **text_side(text, words),
        "uni_invisible": log(folded.invisible),
        "uni_mixed": log(folded.mixed_words),
        "uni_spaced": log(folded.spaced),
        "sms_urls": log(words.count("<url>")),
        "sms_phones": log(words.count("<phone>")),
        "sms_amounts": log(sum(word.startswith("<amt") for word in words)),
        "sms_emails": log(words.count("<email>")),
        "sms_code": float(_CODE.search(text) is not None),
        "sms_premium": float(_PREMIUM.search(text) is not None),
        "sms_short_code": float(_SHORT_CODE.search(text) is not None),
        "sms_reply": float(_REPLY.search(text) is not None),
    }
    return Features(
        head=("<sms>",),
        body=tuple(words),
        side=np.array([side[key] for key in SMS_SIDE], dtype=np.float32),
    )

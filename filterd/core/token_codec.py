"""What a model read of one message as octets, to be kept: ids without a word, about six kilobytes of a mail.

Whoever has the hashing could guess words and test them, so kept inputs are personal data like the message itself.
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np

from filterd.core.bundle import Hashing
from filterd.core.tokens import Ints, Tokens

_HEAD = struct.Struct("<BHHH")
_NARROW, _WIDE = 1, 2
"""Token ids of two octets, or of four where the embedding has more rows."""
_NARROW_BUCKETS = 1 << 16


def hashing_key(hashing: Hashing) -> str:
    """12 hex digits that are the same for every bundle that reads messages alike."""
    return hashlib.sha256(repr(hashing).encode()).hexdigest()[:12]


def pack(tokens: Tokens, hashing: Hashing) -> bytes:
    """``tokens`` without their padding."""
    is_narrow = hashing.token_buckets <= _NARROW_BUCKETS
    wide = tokens.wide[: np.count_nonzero(tokens.wide)]
    head = _HEAD.pack(_NARROW if is_narrow else _WIDE, tokens.length, len(wide), len(tokens.side))
    rows = tokens.tokens[: tokens.length].astype("<u2" if is_narrow else "<u4")
    return b"".join((head, rows.tobytes(), wide.astype("<u4").tobytes(), tokens.side.astype("<f4").tobytes()))


def wide_ids(data: bytes) -> Ints:
    """The linear path's ids alone, int32[N], of octets that ``pack`` made."""
    _, _, wide_count, side_count = _HEAD.unpack_from(data)
    end = len(data) - 4 * side_count
    return np.frombuffer(data, "<u4", wide_count, end - 4 * wide_count).astype(np.int32)


def unpack(data: bytes, hashing: Hashing) -> Tokens:
    """The tokens in ``data``. Raises ValueError for octets that ``pack`` did not make with this hashing."""
    try:
        kind, length, wide_count, side_count = _HEAD.unpack_from(data)
    except struct.error as exc:
        raise ValueError("too short for a model's input") from exc
    ids = np.dtype("<u2" if kind == _NARROW else "<u4")
    at, count = _HEAD.size, length * hashing.grams
    ends = (at, at + count * ids.itemsize, at + count * ids.itemsize + 4 * wide_count)
    is_ours = 1 <= length <= hashing.max_tokens and wide_count <= hashing.max_wide and side_count == len(hashing.side)
    if kind not in (_NARROW, _WIDE) or not is_ours or len(data) != ends[2] + 4 * side_count:
        raise ValueError("not the input of a model with this hashing")
    tokens = np.zeros((hashing.max_tokens, hashing.grams), np.int32)
    tokens[:length] = np.frombuffer(data, ids, count, ends[0]).reshape(length, hashing.grams)
    wide = np.zeros(hashing.max_wide, np.int32)
    wide[:wide_count] = np.frombuffer(data, "<u4", wide_count, ends[1])
    side = np.frombuffer(data, "<f4", side_count, ends[2]).astype(np.float32)
    if tokens.max() >= hashing.token_buckets or wide.max(initial=0) >= hashing.wide_buckets:
        raise ValueError("an id is beyond the model's tables")
    return Tokens(tokens=tokens, length=length, wide=wide, side=side)

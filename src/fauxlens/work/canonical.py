"""One value, one text: the JSON form that is hashed, compared and written line by line."""

from __future__ import annotations

import hashlib
import json
from typing import Any

# ASCII only, so that a path that is not valid Unicode (a lone surrogate) still has bytes. No NaN: it is not JSON.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def canonical(value: Any) -> str:
    """The one text of a JSON value; TypeError or ValueError when it is not JSON.

    >>> canonical({"b": 1.0, "a": [None, True]})
    '{"a":[null,true],"b":1.0}'
    """
    return _ENCODER.encode(value)


def digest_of(value: Any) -> str:
    """Hex SHA-256 of the canonical text.

    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(canonical(value).encode("ascii")).hexdigest()

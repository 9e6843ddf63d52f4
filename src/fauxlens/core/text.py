"""Texts that come from elsewhere (file names, notes), made safe to show."""

from __future__ import annotations

# Texts come from file names, and those may hold what moves the cursor, changes colours or turns the writing direction.
_UNSEEN = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != 10}
_UNSEEN |= {code: f"\\u{code:04x}" for code in (0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F))}
_UNSEEN |= {code: f"\\u{code:04x}" for code in range(0x2066, 0x206A)}
# Halves of letters, as which bytes of a name are kept that could not be read; no encoding has bytes for them.
_UNSEEN |= {code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)}


def visible(text: str, *, one_line: bool = False) -> str:
    """The text with everything spelt out that a terminal or a page would obey instead of show.

    Line ends stay, unless the text has to keep to `one_line`.

    >>> print(visible("photo\\u202egpj.exe \\x1b[31m"))
    photo\\u202egpj.exe \\x1b[31m
    """
    shown = text.translate(_UNSEEN)
    return shown.replace("\n", "\\n") if one_line else shown

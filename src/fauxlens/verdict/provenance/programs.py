"""Programs by the names that they leave in a file: those that generate, those that edit, those that copy a screen."""

from __future__ import annotations

import re

# Whole words: "Flux" or "Imagen" alone would also be names of people, cameras and other programs.
_GENERATORS = {
    "Adobe Firefly": r"\bFirefly\b",
    "ChatGPT or another OpenAI program": r"\bOpenAI\b|\bChatGPT\b|\bDALL[-·.• ]?E\b|\bgpt-image\b",
    "Google's generative AI": r"\bMade with Google AI\b|\bGoogle Generative AI\b|\bGoogle Gemini\b|\bGoogle Imagen\b",
    "Midjourney": r"\bMidjourney\b",
    "Stable Diffusion": r"\bStable[ -]?Diffusion\b|\bSDXL\b|\bDreamStudio\b",
    "NovelAI": r"\bNovelAI\b",
    "ComfyUI": r"\bComfyUI\b",
    "InvokeAI": r"\bInvokeAI\b|\binvoke-ai\b",
    "Fooocus": r"\bFooocus\b",
    "Draw Things": r"\bDraw Things\b",
    "SwarmUI": r"\bSwarmUI\b",
    "Easy Diffusion": r"\bEasy Diffusion\b",
    "Bing Image Creator": r"\bBing Image Creator\b|\bMicrosoft Designer\b",
    "Image Playground": r"\bImage Playground\b",
    "Leonardo.Ai": r"\bLeonardo\.?Ai\b",
    "Ideogram": r"\bIdeogram\b",
    "Meta AI": r"\bImagined with AI\b|\bMeta AI\b",
    "Black Forest Labs": r"\bBlack Forest Labs\b|\bFLUX\.1\b",
}
_PARTS = {"Google's generative AI": r"\bEdited with Google AI\b"}
_EDITORS = {
    "Photoshop": r"\bPhotoshop\b",
    "Lightroom": r"\bLightroom\b",
    "GIMP": r"\bGIMP\b|GNU Image Manipulation",
    "Affinity Photo": r"\bAffinity\b",
    "Snapseed": r"\bSnapseed\b",
    "Pixelmator": r"\bPixelmator\b",
    "Photopea": r"\bPhotopea\b",
    "Canva": r"\bCanva\b",
    "PicsArt": r"\bPicsArt\b",
    "Paint.NET": r"\bPaint\.NET\b",
    "Facetune": r"\bFacetune\b",
    "Meitu": r"\bMeitu\b|\bBeautyPlus\b",
    "Luminar": r"\bLuminar\b",
    "Capture One": r"\bCapture One\b",
    "darktable": r"\bdarktable\b",
    "RawTherapee": r"\bRawTherapee\b",
    "PhotoScape": r"\bPhotoScape\b",
    "CorelDRAW or PaintShop": r"\bCorel\b|\bPaint ?Shop\b",
    "Krita": r"\bKrita\b",
    "Acorn": r"\bFlying Meat Acorn\b",
    "Topaz": r"\bTopaz\b",
    "Remini": r"\bRemini\b",
    "Picasa": r"\bPicasa\b",
    "VSCO": r"\bVSCO\b",
}
# Systems write a bare word where others write a program's name.
_SCREENS = {
    "a system's own": r"^\s*Screen ?shot\s*$|^\s*Screen ?capture\s*$",
    "GNOME": r"\bgnome-screenshot\b",
    "Spectacle": r"^\s*Spectacle\b",
    "Flameshot": r"\bFlameshot\b",
    "Greenshot": r"\bGreenshot\b",
    "ShareX": r"\bShareX\b",
    "Snipping Tool": r"\bSnipping ?Tool\b",
}


def _compiled(table: dict[str, str]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in table.items())


_TABLES = {
    "generator": _compiled(_GENERATORS),
    "part": _compiled(_PARTS),
    "editor": _compiled(_EDITORS),
    "screen": _compiled(_SCREENS),
}


def generator_in(text: str) -> str | None:
    """The generator that a short text names.

    >>> generator_in("Adobe Firefly 3"), generator_in("Canon EOS 5D"), generator_in("Made with Google AI")
    ('Adobe Firefly', None, "Google's generative AI")
    """
    return _first("generator", text)


def part_generator_in(text: str) -> str | None:
    """The generator that, as the text says, made a part of the picture."""
    return _first("part", text)


def editor_in(text: str) -> str | None:
    """The editor that a short text names.

    >>> editor_in("Adobe Photoshop 25.0 (Windows)")
    'Photoshop'
    """
    return _first("editor", text)


def screen_program_in(text: str) -> str | None:
    """The program that a short text names, and that copies what is on a screen.

    >>> screen_program_in("Screenshot"), screen_program_in("gnome-screenshot"), screen_program_in("Screenshot of a cat")
    ("a system's own", 'GNOME', None)
    """
    return _first("screen", text)


def _first(table: str, text: str) -> str | None:
    return next((name for name, pattern in _TABLES[table] if pattern.search(text[:500])), None)

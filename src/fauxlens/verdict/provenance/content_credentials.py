"""Content Credentials (C2PA): validated where the optional library is installed, else read and said to be unchecked."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fauxlens.core.errors import MissingExtra
from fauxlens.core.optional import need
from fauxlens.verdict.evidence import Evidence, Leaning, Strength
from fauxlens.verdict.provenance.jumbf import (
    BadJumbf,
    Ingredient,
    Manifest,
    actions_in,
    program_in,
    read_manifests,
)
from fauxlens.verdict.provenance.source_types import SourceType, named_in, source_type
from fauxlens.verdict.provenance.told import Subject, Told, listed, short

State = Literal["trusted", "valid", "invalid", "unchecked"]

_MEDIA_TYPES = {
    "jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif", "tiff": "image/tiff",
    "avif": "image/avif", "heic": "image/heic",
}  # fmt: skip
# Nothing leaves this machine: neither for a manifest elsewhere nor to ask whether a certificate was withdrawn.
_SETTINGS = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_reading": True}}
# Actions that say where the whole picture comes from; any other one tells of a part.
_OF_THE_WHOLE = frozenset(
    f"c2pa.{name}" for name in ("created", "opened", "converted", "transcoded", "published", "repackaged", "unknown")
)
_MAX_CHAIN = 32
_RANK = {"generated": 0, "edited": 1, "laundered": 2, "captured": 3, "none": 4}


@dataclass(frozen=True, slots=True)
class Credentials:
    """All manifests, by label; which of them is the active one, and how far they were checked."""

    manifests: Mapping[str, Manifest]
    active: Manifest
    state: State = "unchecked"
    problems: tuple[str, ...] = ()

    @property
    def chain(self) -> tuple[Manifest, ...]:
        """The active one and, by way of parents, what the picture was before."""
        found = [self.active]
        while len(found) < _MAX_CHAIN:
            parents = (
                self.manifests.get(one.manifest or "") for one in found[-1].ingredients if one.relation == "parentOf"
            )
            parent = next((one for one in parents if one is not None and one not in found), None)
            if parent is None:
                break
            found.append(parent)
        return tuple(found)

    @property
    def parts(self) -> tuple[Manifest, ...]:
        """The manifests of what was put into the picture."""
        links = [one.manifest for link in self.chain for one in link.ingredients if one.relation != "parentOf"]
        found = (self.manifests.get(one) for one in dict.fromkeys(links) if one is not None)
        return tuple(one for one in found if one is not None and one not in self.chain)


@dataclass(frozen=True, slots=True)
class Claim:
    """One source type that the credentials state, and what it speaks for where it stands."""

    type: SourceType
    action: str
    program: str
    leans: Leaning
    strength: Strength
    of_a_part: bool = False


def claims_of(credentials: Credentials) -> list[Claim]:
    """Every stated source type, the weightiest first.

    "Made by a trained model" said of an edit, or of something that was put in, tells of a part of the picture.
    """
    found: list[Claim] = []
    for manifest in credentials.chain:
        for action in manifest.actions:
            stated = None if action.source_type is None else source_type(action.source_type)
            if stated is not None:
                found.append(
                    _claim(stated, action.name, action.program or manifest.program, action.name not in _OF_THE_WHOLE)
                )
        found += [
            _claim(one, "", manifest.program, False) for one in map(source_type, manifest.stated) if one is not None
        ]
    for manifest in credentials.parts:
        for action in manifest.actions:
            stated = None if action.source_type is None else source_type(action.source_type)
            if stated is not None and stated.leans in ("generated", "edited"):
                found.append(_claim(stated, action.name, action.program or manifest.program, True))
    return sorted(found, key=lambda one: (_RANK[one.leans], one.strength != "strong"))


def _claim(stated: SourceType, action: str, program: str, of_a_part: bool) -> Claim:
    part = of_a_part and stated.leans == "generated"
    return Claim(stated, action, program, "edited" if part else stated.leans, stated.strength, part)


def check(subject: Subject) -> Told:
    """What the credentials say, and how much that is worth."""
    store = subject.blocks.c2pa
    if store is None:
        return Told()
    not_checked: tuple[str, ...] = ()
    credentials: Credentials | None = None
    problem = ""
    try:
        credentials, problem = _validated(subject)
    except MissingExtra as missing:
        not_checked = (f"the signature of the Content Credentials: {missing.what} ({missing.hint})",)
    if credentials is None:
        if problem:
            not_checked = (f"the signature of the Content Credentials: the library could not read them ({problem})",)
        try:
            manifests = read_manifests(store)
        except BadJumbf as bad:
            return Told((_broken(bad.what, len(store)),), not_checked)
        credentials = Credentials({one.label: one for one in manifests}, manifests[-1])
    return Told((_evidence(credentials),), not_checked)


def _evidence(credentials: Credentials) -> Evidence:
    claims = claims_of(credentials)
    first = claims[0] if claims else None
    active = credentials.active
    leans: Leaning = "none" if first is None else first.leans
    strength: Strength = "context" if first is None else first.strength
    if credentials.state == "invalid" and strength == "strong":
        strength = "weak"
    signer = f", signed by '{short(active.signer, 80)}'" if active.signer else ""
    by = f" of {short(active.program, 80)}" if active.program else ""
    if first is None:
        said = "They do not say whether a camera or a model made the picture."
    else:
        program = f" ({short(first.program, 80)})" if first.program else ""
        what = f"a trained model made a part of it{program}" if first.of_a_part else f"it is {first.type.says}{program}"
        said = f"They say of the picture that {what} ('{first.type.term}')."
    return Evidence(
        check="content_credentials",
        sentence=f"The file carries Content Credentials{by}{signer}. {said} {_CHECKED[credentials.state]}",
        limit=_LIMITS[credentials.state],
        leans=leans,
        strength=strength,
        details={
            "state": credentials.state,
            "problems": listed(credentials.problems, 12),
            "manifests": len(credentials.manifests),
            "program": short(active.program, 120),
            "signer": short(active.signer, 120),
            "claims": [
                {"source_type": one.type.term, "action": short(one.action, 60), "program": short(one.program, 120),
                 "of_a_part": one.of_a_part}
                for one in claims[:20]
            ],
            "actions": listed((action.name for one in credentials.chain for action in one.actions), 40),
            "assertions": listed(active.assertions, 40),
        },
    )  # fmt: skip


_CHECKED: dict[State, str] = {
    "trusted": "The signature is valid, the picture is as it was signed, and the signer is on the library's list of "
    "those it trusts.",
    "valid": "The signature is valid and the picture is as it was signed; the signer is on no list of trust here, so "
    "who that is remains open.",
    "invalid": "They do not hold: the picture or the credentials were changed after signing.",
    "unchecked": "Its signature was not checked.",
}
_LIMITS: dict[State, str] = {
    "trusted": "A signature shows who says so, and that nothing changed since; it does not show that it is true.",
    "valid": "Anybody can make a certificate of one's own under any name; what the signer says is then worth as "
    "much as a plain text.",
    "invalid": "Programs that do not know of credentials break them by saving the picture again. Credentials can also "
    "be taken over from another picture.",
    "unchecked": "They were read and not validated: anybody could have written them, or taken them over from another "
    "picture. Most sites strip them.",
}


def _broken(why: str, size: int) -> Evidence:
    return Evidence(
        check="content_credentials",
        sentence=f"The file carries a broken C2PA block: {why}.",
        limit="Programs that cut files short break such blocks; it says nothing of the picture.",
        details={"state": "broken", "problem": short(why), "bytes": size},
    )


def _validated(subject: Subject) -> tuple[Credentials | None, str]:
    """What the library says; None, and why, where it cannot read them. Raises MissingExtra where it is missing."""
    library: Any = need("c2pa", "provenance", "checking it")
    media_type = _MEDIA_TYPES.get(subject.format)
    if media_type is None:
        return None, "a format that it does not know"
    try:
        with library.Context.from_dict(_SETTINGS) as context:
            reader = library.Reader.try_create(media_type, io.BytesIO(subject.data), context=context)
            if reader is None:
                return None, "it finds none"
            with reader:
                told = json.loads(reader.json())
    except Exception as bad:  # the library fails on hostile bytes with errors of many kinds
        return None, short(str(bad), 120) or type(bad).__name__
    return credentials_from(told)


def credentials_from(told: object) -> tuple[Credentials | None, str]:
    """The library's own report, as our nouns."""
    whole = told if isinstance(told, dict) else {}
    several = whole.get("manifests")
    manifests = {
        label: _from_report(label, one)
        for label, one in (several.items() if isinstance(several, dict) else ())
        if isinstance(one, dict)
    }
    active = manifests.get(str(whole.get("active_manifest")))
    if active is None:
        return None, "it names no active manifest"
    states: dict[str, State] = {"trusted": "trusted", "valid": "valid"}
    state = states.get(str(whole.get("validation_state")).lower(), "invalid")
    status = whole.get("validation_status")
    codes = [str(one.get("code")) for one in (status if isinstance(status, list) else []) if isinstance(one, dict)]
    return Credentials(manifests, active, state, tuple(dict.fromkeys(codes))), ""


def _from_report(label: str, manifest: Mapping[str, Any]) -> Manifest:
    assertions = [one for one in manifest.get("assertions") or [] if isinstance(one, dict)]
    signed = manifest.get("signature_info")
    signed = signed if isinstance(signed, dict) else {}
    others = [one for one in assertions if not str(one.get("label")).startswith("c2pa.actions")]
    return Manifest(
        label=label,
        program=program_in(manifest),
        actions=tuple(
            action
            for one in assertions
            if str(one.get("label")).startswith("c2pa.actions")
            for action in actions_in(one.get("data"))
        ),
        ingredients=tuple(
            Ingredient(str(one.get("relationship")), one.get("active_manifest"))
            for one in manifest.get("ingredients") or []
            if isinstance(one, dict)
        ),
        stated=tuple(one.term for one in named_in([json.dumps(others)])),
        signer=str(signed.get("issuer") or signed.get("common_name") or ""),
        assertions=tuple(str(one.get("label")) for one in assertions),
    )

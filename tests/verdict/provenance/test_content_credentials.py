"""Content Credentials: found in every container, read without the library, never a crash."""

from __future__ import annotations

import importlib.util
import io
import json
import sys

import pytest

import origin_files as made
from fauxlens.verdict.provenance.cbor import BadCbor, read_cbor
from fauxlens.verdict.provenance.content_credentials import Credentials, claims_of, credentials_from
from fauxlens.verdict.provenance.jumbf import read_manifests
from image_files import saved

WHOLE = made.store(made.manifest(actions=[made.created()], certificate=made.certificate()))
CONTAINERS = {
    "JPEG": made.store_in_jpeg,
    "PNG": made.store_in_png,
    "WEBP": made.store_in_webp,
    "AVIF": made.store_in_avif,
}


@pytest.fixture
def without_library(monkeypatch):
    """As if it were not installed, whether it is or not."""
    monkeypatch.setitem(sys.modules, "c2pa", None)


@pytest.mark.parametrize("format_", CONTAINERS)
def test_the_structure_is_read_in_every_container(ask, without_library, format_):
    told = ask(CONTAINERS[format_](saved(format_), WHOLE))
    found = told.evidence[0]
    assert (found.check, found.leans, found.strength) == ("content_credentials", "generated", "strong")
    assert "of Toy Program 2, signed by 'Toy Pictures'" in found.sentence
    assert found.sentence.endswith("Its signature was not checked.")
    assert found.details["state"] == "unchecked"
    assert found.details["claims"][0] == {
        "source_type": "trainedAlgorithmicMedia", "action": "c2pa.created", "program": "Toy Model", "of_a_part": False,
    }  # fmt: skip
    assert "fauxlens[provenance]" in told.not_checked[0]


def test_gif_and_tiff(find, without_library):
    gif = saved("GIF")
    at = 13 + (3 << (gif[10] & 7) + 1)  # behind the palette
    parts = [WHOLE[k : k + 255] for k in range(0, len(WHOLE), 255)]
    inner = b"!\xff\x0bC2PA_GIF\x01\0\0" + b"".join(bytes((len(one),)) + one for one in parts) + b"\0"
    assert find(gif[:at] + inner + gif[at:], "content_credentials").leans == "generated"
    tiff = saved("TIFF", tiffinfo={52545: WHOLE})
    assert find(tiff, "content_credentials").leans == "generated"


def test_segments_are_put_in_order(find, without_library):
    store = made.store(made.manifest(actions=[made.created(program="x" * 900) for _ in range(30)]))
    jpeg = made.store_in_jpeg(saved("JPEG"), store, size=700)
    first = jpeg.index(b"\xff\xeb")
    size = 2 + int.from_bytes(jpeg[first + 2 : first + 4], "big")
    # The first segment behind the second one.
    turned = (
        jpeg[:first] + jpeg[first + size : first + 2 * size] + jpeg[first : first + size] + jpeg[first + 2 * size :]
    )
    assert find(turned, "content_credentials").details["state"] == "unchecked"


def claims(*manifests: bytes) -> list[tuple[str, str, bool]]:
    several = read_manifests(made.store(*manifests))
    credentials = Credentials({one.label: one for one in several}, several[-1])
    return [(one.type.term, one.leans, one.of_a_part) for one in claims_of(credentials)]


def test_where_a_claim_stands_decides_what_it_speaks_for():
    generated = made.manifest("urn:uuid:a", [made.created()])
    edit = {"action": "c2pa.edited", "digitalSourceType": made.TRAINED}
    photo = made.created(made.TRAINED.replace("trainedAlgorithmicMedia", "digitalCapture"))
    opened = [{"action": "c2pa.opened"}, {"action": "c2pa.color_adjustments"}]
    assert claims(generated) == [("trainedAlgorithmicMedia", "generated", False)]
    # A model that filled a part of a photo.
    assert claims(made.manifest("urn:uuid:b", [photo, edit])) == [
        ("trainedAlgorithmicMedia", "edited", True),
        ("digitalCapture", "captured", False),
    ]
    # A generated picture that was opened and saved by an editor stays generated; put into a photo it is a part.
    parent = made.manifest("urn:uuid:b", opened, ingredients=[("parentOf", "urn:uuid:a")])
    assert claims(generated, parent) == [("trainedAlgorithmicMedia", "generated", False)]
    part = made.manifest("urn:uuid:b", opened, ingredients=[("componentOf", "urn:uuid:a")])
    assert claims(generated, part) == [("trainedAlgorithmicMedia", "edited", True)]
    # A photo that nobody knows, and a manifest that is its own parent.
    assert claims(made.manifest("urn:uuid:b", opened, ingredients=[("parentOf", "urn:uuid:b")])) == []


def test_a_source_type_in_further_metadata():
    about = json.dumps({"@context": {}, "Iptc4xmpExt:DigitalSourceType": made.PARTLY}).encode()
    other = made.jumbf(b"json", "cawg.metadata", made.box(b"json", about))
    assert claims(made.manifest(others=[other])) == [("compositeWithTrainedAlgorithmicMedia", "edited", False)]


def test_credentials_without_a_source_type(find, without_library):
    store = made.store(made.manifest(actions=[{"action": "c2pa.opened"}]))
    found = find(made.store_in_png(saved("PNG"), store), "content_credentials")
    assert (found.leans, found.strength) == ("none", "context")
    assert "do not say whether" in found.sentence


def test_every_cut_of_a_store_is_told_and_never_raises(ask, without_library):
    for length in range(0, len(WHOLE), 37):
        told = ask(made.store_in_png(saved("PNG"), WHOLE[:length]))
        assert told.evidence[0].details["state"] == "broken", length
        assert "a broken C2PA block" in told.evidence[0].sentence


def test_cbor_of_all_kinds():
    # From RFC 8949, Appendix A.
    for said, meant in (
        ("1864", 100), ("3903e7", -1000), ("f93c00", 1.0), ("fa47c35000", 100000.0), ("f97c00", None), ("f4", False),
        ("c074323031332d30332d32315432303a30343a30305a", "2013-03-21T20:04:00Z"), ("4401020304", b"\1\2\3\4"),
        ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]), ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
        ("5f42010243030405ff", b"\1\2\3\4\5"), ("7f657374726561646d696e67ff", "streaming"),
        ("a201020304", {"1": 2, "3": 4}),
    ):  # fmt: skip
        assert read_cbor(bytes.fromhex(said)) == meant, said
    value = {"a": [1, -70_000, b"x" * 300, "ü", None, True, {"b": []}], "c": 2**40}
    assert read_cbor(made.cbor(value)) == value


@pytest.mark.parametrize(
    "bad", [b"", b"\xff", b"\x1c", b"\x61", b"\x9b" + b"\xff" * 8, b"\x81" * 99, b"\xc0" * 99, b"\x1f"]
)
def test_cbor_that_is_none(bad):
    with pytest.raises(BadCbor):
        read_cbor(bad)


def report(state: str, **more: object) -> dict[str, object]:
    manifest = {
        "claim_generator_info": [{"name": "Toy", "version": "1"}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [made.created()]}}],
        "signature_info": {"issuer": "Toy Pictures"},
        **more,
    }
    return {"active_manifest": "urn:1", "manifests": {"urn:1": manifest}, "validation_state": state,
            "validation_status": [{"code": "assertion.dataHash.mismatch"}]}  # fmt: skip


@pytest.mark.parametrize(
    ("state", "ours"), [("Trusted", "trusted"), ("Valid", "valid"), ("Invalid", "invalid"), ("?", "invalid")]
)
def test_a_report_of_the_library(state, ours):
    found, problem = credentials_from(report(state))
    assert found is not None
    assert (found.state, problem, found.active.signer, found.active.program) == (ours, "", "Toy Pictures", "Toy 1")
    assert [one.leans for one in claims_of(found)] == ["generated"]


@pytest.mark.parametrize("odd", [None, [], {}, {"active_manifest": "x", "manifests": {"x": 3}}, {"manifests": []}])
def test_a_report_that_says_nothing(odd):
    assert credentials_from(odd)[0] is None
    wrong = {"assertions": [3, {"label": None, "data": 7}], "ingredients": [None, {}], "signature_info": 4}
    assert credentials_from(report("Valid", **wrong))[0] is not None


class Library:
    """What is asked of c2pa-python, with an answer that the test gives."""

    def __init__(self, answer: object) -> None:
        self.answer, self.settings = answer, None
        self.Context, self.Reader = self, self

    def from_dict(self, settings):
        self.settings = settings
        return self

    def try_create(self, media_type, stream, context):
        assert media_type == "image/png"
        assert stream.read(4) == b"\x89PNG"
        assert context is self
        if isinstance(self.answer, Exception):
            raise self.answer
        return None if self.answer is None else self

    def json(self):
        return json.dumps(self.answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


@pytest.mark.parametrize(
    ("answer", "state", "strength", "unchecked"),
    [
        (report("Valid"), "valid", "strong", ""),
        (report("Trusted"), "trusted", "strong", ""),
        (report("Invalid"), "invalid", "weak", ""),
        (None, "unchecked", "strong", "it finds none"),
        (ValueError("a box too long"), "unchecked", "strong", "a box too long"),
        ([], "unchecked", "strong", "no active manifest"),
    ],
)
def test_what_becomes_of_the_answer_of_the_library(ask, monkeypatch, answer, state, strength, unchecked):
    library = Library(answer)
    monkeypatch.setitem(sys.modules, "c2pa", library)
    told = ask(made.store_in_png(saved("PNG"), WHOLE))
    found = told.evidence[0]
    assert (found.details["state"], found.leans, found.strength) == (state, "generated", strength)
    assert library.settings["verify"]["remote_manifest_fetch"] is False
    assert library.settings["verify"]["ocsp_fetch"] is False
    assert (unchecked in told.not_checked[0]) if unchecked else told.not_checked == ()


# --- with the library, where it is installed ---

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("c2pa") is None or importlib.util.find_spec("cryptography") is None,
    reason="c2pa-python and cryptography are not installed",
)


def signed(source_type: str) -> bytes:
    """A PNG signed with a certificate of our own."""
    import datetime

    import c2pa
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def named(who: str) -> x509.Name:
        return x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, who), x509.NameAttribute(NameOID.ORGANIZATION_NAME, who)]
        )

    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    now = datetime.datetime.now(datetime.UTC)
    chain = b""
    for leaf, (key, name) in enumerate(zip(keys, ("Toy Root", "Toy Pictures"), strict=True)):
        built = (
            x509.CertificateBuilder().subject_name(named(name)).issuer_name(named("Toy Root"))
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=not leaf, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(bool(leaf), *(False,) * 4, not leaf, not leaf, False, False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False)
        )  # fmt: skip
        if leaf:
            built = built.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        chain = built.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM) + chain
    secret = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, chain, secret, None))
    actions = {"label": "c2pa.actions", "data": {"actions": [made.created(source_type)]}}
    told = {"claim_generator_info": [{"name": "Toy Program", "version": "2"}], "assertions": [actions]}
    done = io.BytesIO()
    c2pa.Builder(json.dumps(told)).sign(signer, "image/png", io.BytesIO(saved("PNG")), done)
    return done.getvalue()


@needs_library
def test_a_signature_is_validated_and_a_change_is_seen(ask):
    data = signed(made.TRAINED)
    told = ask(data)
    assert told.not_checked == ()
    assert told.evidence[0].details["state"] == "valid"
    assert told.evidence[0].details["problems"] == ["signingCredential.untrusted"]
    assert (told.evidence[0].leans, told.evidence[0].strength) == ("generated", "strong")
    assert "'Toy Pictures'" in told.evidence[0].sentence
    changed = made.behind_the_picture(data, made.text("Comment", "later"))
    found = ask(changed).evidence[0]
    assert (found.details["state"], found.leans, found.strength) == ("invalid", "generated", "weak")
    assert "do not hold" in found.sentence


@needs_library
def test_with_and_without_the_library_the_same_is_read(ask, monkeypatch):
    data = signed(made.PARTLY)
    with_it = ask(data).evidence[0]
    monkeypatch.setitem(sys.modules, "c2pa", None)
    without = ask(data).evidence[0]
    assert (with_it.leans, with_it.details["claims"]) == (without.leans, without.details["claims"])
    assert with_it.details["signer"] == without.details["signer"] == "Toy Pictures"


@needs_library
def test_what_the_library_cannot_read_is_read_without_it(ask):
    told = ask(made.store_in_png(saved("PNG"), WHOLE))  # its signature is no signature
    assert told.evidence[0].details["state"] in ("invalid", "unchecked")
    assert told.evidence[0].leans == "generated"

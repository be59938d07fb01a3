"""Whose heads these are: the attestation keys of a log, in the order in which they followed."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from swt3_agent.protocol.bundle import Manifest
from swt3_agent.protocol.checkpoint import SignedNote
from swt3_agent.protocol.note import decode_base64
from swt3_agent.tcg.public import EccPublic, check_ak, parse_tpmt
from swt3_agent.verify.refusal import refusal
from swt3_agent.verify.succession import SuccessorLink, check_succession


@dataclass(slots=True)
class Signers:
    """The keys that a bundle names. ``linked`` are the places of those for which the key before
    gave its word; ``used`` are the places of those that signed a head."""

    keys: Sequence[EccPublic]
    linked: frozenset[int] = frozenset()
    used: set[int] = field(default_factory=set)
    _stated: dict[bytes, int] = field(default_factory=dict)
    _retired: set[bytes] = field(default_factory=set)
    _place: int = 0
    _covered: int | None = None

    @classmethod
    def of(cls, publics: Sequence[bytes]) -> "Signers":
        """Keys from their TPMT_PUBLIC. Raises FormatError ``PUBLIC_*`` or ``AK_*``."""
        keys = [parse_tpmt(public) for public in publics]
        for key in keys:
            check_ak(key)
        return cls(keys)

    @classmethod
    def named_in(cls, manifest: Manifest) -> "Signers":
        """The keys in ``manifest``, and their predecessors' word for them.

        Raises FormatError ``PARSE_FIELD`` and as ``of`` and ``check_succession``.
        """
        try:
            publics = [decode_base64(key) for key in manifest.keys]
            links = [
                SuccessorLink(*map(decode_base64, (link.ak_public, link.attest, link.signature)))
                for link in manifest.successions
            ]
        except ValueError as error:
            raise refusal("PARSE_FIELD", f"a key in the manifest is {error}") from None
        signers = cls.of(publics)
        places = {public: place for place, public in enumerate(publics)}
        linked = set()
        for link in links:
            place = places.get(link.ak_public, 0)
            if place == 0:
                raise refusal("PARSE_FIELD", "the manifest has a succession to no key it names")
            check_succession(signers.keys[place - 1], link, manifest.log_id)
            linked.add(place)
        signers.linked = frozenset(linked)
        return signers

    def state(self, seq: int, public: bytes) -> None:
        """Record ``seq`` says that this key (TPMT_PUBLIC) signs from then on.

        Raises FormatError ``HEAD_KEY`` where it has signed a head before.
        """
        if any(self.keys[place].tpmt == public for place in self.used):
            raise refusal("HEAD_KEY", f"a key signed before record {seq}, which names it first")
        self._stated[public] = seq

    def retire(self, name: bytes) -> None:
        """The log says that the key with this Name signs no more."""
        self._retired.add(name)

    def signer_of(self, head: SignedNote, *, follows: bool = True) -> EccPublic:
        """The key in whose line ``head`` is signed; no signature is verified here.

        Raises FormatError ``NOTE_KEY_ID`` where it is none of them; ``HEAD_KEY`` where a key signs
        after its successor, after its retirement, or before a head of its predecessor covers the
        record that names it. ``follows``: the head is of the chain, and not looked up beside it.
        Either way the key must be vouched for in the end.
        """
        place = next(
            (
                place
                for place, key in enumerate(self.keys)
                if head.signature_of(key.spki_der()) is not None
            ),
            None,
        )
        if place is None:
            raise refusal("NOTE_KEY_ID", "a head is signed by no key that the bundle names")
        key = self.keys[place]
        if follows:
            self._check_turn(place, key, head)
            self._place, self._covered = place, head.note.size
        self.used.add(place)
        return key

    def _check_turn(self, place: int, key: EccPublic, head: SignedNote) -> None:
        size = head.note.size
        if place < self._place:
            raise refusal("HEAD_KEY", f"the head of {size} records is signed by an earlier key")
        if key.name() in self._retired:
            raise refusal("HEAD_KEY", f"the head of {size} records is signed by a retired key")
        stated = self._stated.get(key.tpmt)
        succeeds = place > self._place and place in self.linked
        if succeeds and stated is not None and (self._covered or 0) <= stated:
            raise refusal(
                "HEAD_KEY",
                f"no head of the key before covers record {stated}, which names its successor",
            )

    def check_enrolled(self, enrolled: EccPublic) -> None:
        """Whether every head is signed by ``enrolled`` or by what it led to.

        Raises FormatError ``TRUST_AK``.
        """
        if not self.used <= self._led_to(enrolled):
            raise refusal(
                "TRUST_AK",
                "a head is signed by another key than the enrolled AK, which did not vouch for it",
            )

    def vouched(self, enrolled: EccPublic | None) -> list[EccPublic]:
        """The keys whose quotes count: those that ``enrolled`` led to; where nobody is enrolled,
        those that signed heads."""
        places = self.used if enrolled is None else self._led_to(enrolled)
        return [self.keys[place] for place in sorted(places)]

    def _led_to(self, enrolled: EccPublic) -> set[int]:
        """Places of ``enrolled`` and of the keys that followed it, each by its predecessor's
        word."""
        places: set[int] = set()
        for place, key in enumerate(self.keys):
            if key.tpmt == enrolled.tpmt or (place in self.linked and place - 1 in places):
                places.add(place)
        return places

"""Reads an SDP offer, and takes out of it whom this service must not contact. Text only.

Needs aiortc: what is checked here is what its parser will see.
"""

from __future__ import annotations

from aiortc.sdp import SessionDescription

from omnilive.service.ice import IcePolicy

KINDS = ("audio", "video")
SENDING = ("sendonly", "sendrecv")

MOST_CANDIDATES = 32
"""Of one medium; more would only be ways to have packets sent about."""


class OfferError(ValueError):
    """An offer that is not taken.

    Attributes:
        status: HTTP status of the refusal.
        what: one clause for the client's developer; never echoes the offer.
    """

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status
        self.what = what


def guarded_offer(text: str, policy: IcePolicy) -> str:
    """The offer with no candidates but those that ``policy`` lets be contacted first.

    Without any the service waits for the peer to reach it: ICE then learns the peer's address
    from a check that shows the credentials of this very answer. That is also why the end of the
    candidates is taken out: there is always another that may come so.

    Raises:
        OfferError: it is malformed, or offers something else than one track each of the peer's
            sound and pictures.
    """
    if not text.startswith("v=0"):  # which the parser passes over
        raise OfferError(400, "the offer is no SDP")
    try:
        offer = SessionDescription.parse(text)
        str(offer)  # it checks addresses as it writes them
    except Exception as e:  # the parser raises whatever it stumbles on
        raise OfferError(400, "the offer is no SDP") from e
    kinds = [media.kind for media in offer.media]
    if not kinds or any(kind not in KINDS for kind in kinds) or len(set(kinds)) != len(kinds):
        raise OfferError(422, "an offer has one audio or one video section, or one of each")
    for media in offer.media:
        if media.direction not in SENDING:
            raise OfferError(422, f"the {media.kind} is not offered to be sent")
        if not media.ice.usernameFragment or not media.ice.password:
            raise OfferError(400, f"the {media.kind} has no ICE credentials")
        if media.dtls is None or not media.dtls.fingerprints:
            raise OfferError(400, f"the {media.kind} has no DTLS fingerprint")
        allowed = [c for c in media.ice_candidates if policy.may_contact(c.ip)]
        media.ice_candidates = allowed[:MOST_CANDIDATES]
        media.ice_candidates_complete = False
    return str(offer)

"""Vault credentials: what a client of Azure makes a host's file of, and a key by which our hosts join.

The client hands a certificate in, which is told back to it. A host of ours joins by a registration key
instead, so one comes with the answer: for the site that is named, or for the only one.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from zlib import crc32

from bascule.wire.control.invitation import invitation_written

from ..answers import Answer, moment
from ..asking import Ask, bad_body
from ..naming import TYPE, named
from .sides.fabrics import guid

_KEY_SECONDS = 5 * 86400


def put(ask: Ask) -> Answer:
    """Return what a credentials file is made of."""
    try:
        data = base64.b64decode(ask.text("properties", "certificate"), validate=True)
    except (binascii.Error, ValueError):
        bad_body("properties.certificate is not base64 of a certificate")
    said = ask.service.fabrics.described(ask.caller, ask.vault, data)
    name, server = ask.names["certificate"], ask.desks.identity.server
    who = guid(server, ask.caller.name)
    details = {
        **{"authType": "AzureActiveDirectory", "certificate": base64.b64encode(data).decode()},
        **{"friendlyName": name, "issuer": said.issuer, "subject": said.subject},
        **{"thumbprint": said.thumbprint, "resourceId": crc32(ask.vault.encode())},
        **{"validFrom": moment(said.starts_at), "validTo": moment(said.expires_at)},
        **{"aadAuthority": ask.base, "aadTenantId": server, "aadAudience": ask.base},
        **{"servicePrincipalClientId": who, "servicePrincipalObjectId": who},
        **{"azureManagementEndpointAudience": f"{ask.base}/", "serviceResourceId": ask.home},
        "bascule": _key(ask),
    }
    id = f"{ask.home}/certificates/{name}"
    return Answer(body={"id": id, "name": name, "type": f"{TYPE}/certificates", "properties": details})


def _key(ask: Ask) -> Mapping[str, object] | None:
    known = ask.service.fabrics.list(ask.caller, ask.vault)
    wanted = ask.text("properties", "bascule", "fabric")
    if wanted:
        known = (named(known, wanted, lambda one: one.id, "fabric"),)
    if len(known) != 1:
        return None
    made = ask.service.fabrics.invite(ask.caller, ask.vault, known[0].id, _KEY_SECONDS)
    return {"fabric": known[0].id, "registrationKey": json.loads(invitation_written(made))}


HANDLERS = {"vault_certificates.create": put}

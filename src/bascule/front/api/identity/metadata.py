"""What clients ask before they sign in: where, and for what. It tells no secrets, and needs no token."""

from __future__ import annotations

from collections.abc import Mapping

from .signing_in import GRANTS

Document = Mapping[str, object]


def openid(base: str, tenant: str, server: str) -> Document:
    """Return where tokens are got, in the form of the tenant that is asked for (``adfs`` has its own)."""
    is_adfs = tenant == "adfs"
    path = f"{base}/{tenant}/oauth2" if is_adfs else f"{base}/{tenant}/oauth2/v2.0"
    return {
        "issuer": f"{base}/adfs" if is_adfs else f"{base}/{server}/v2.0",
        **{"authorization_endpoint": f"{path}/authorize", "token_endpoint": f"{path}/token"},
        **{"jwks_uri": f"{base}/{tenant}/discovery/v2.0/keys", "tenant_region_scope": None},
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "device_authorization_endpoint": f"{path}/devicecode",
        "revocation_endpoint": f"{path}/revoke",
        "grant_types_supported": list(GRANTS),
        **{"response_types_supported": ["token"], "response_modes_supported": ["query"]},
        **{"subject_types_supported": ["pairwise"], "scopes_supported": ["openid"]},
        **{"id_token_signing_alg_values_supported": ["RS256"], "claims_supported": ["sub", "iss", "aud"]},
    }


def endpoints(base: str, server: str, version: str) -> object:
    """Return the cloud that this server is: one document, or a list of one to those who ask as of old."""
    audiences = [f"{base}/", base]
    cloud: Document = {
        **{"name": "Bascule", "portal": base, "graph": base, "graphAudience": base},
        "authentication": {
            **{"loginEndpoint": base, "audiences": audiences, "tenant": server},
            "identityProvider": "AAD",
        },
        **{"resourceManager": base, "media": base, "sqlManagement": base, "batch": base, "gallery": base},
        **{"activeDirectoryDataLake": base, "microsoftGraphResourceId": base},
        "suffixes": {"storage": "", "keyVaultDns": "", "sqlServerHostname": ""},
    }
    return [cloud] if version < "2022" else cloud

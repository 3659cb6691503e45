"""What is set for a whole vault: who is told of events, and what is known of it beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bascule.model.errors import Missing
from bascule.model.vault.extended import ExtendedInfo
from bascule.model.vault.signs.alerts import AlertSettings

from ..answers import Answer, page
from ..asking import Ask
from ..errors import TurnedAway
from ..naming import resource

_ALERTS = "defaultAlertSetting"
_SETTING = "default"
_EXTENDED = "vaultExtendedInfo"
_LOCALE = "en-US"


def list_alerts(ask: Ask) -> Answer:
    """Return the one setting of alerts."""
    return page(ask, (_alerts(ask, ask.service.signs.alerts(ask.caller, ask.vault)),))


def get_alerts(ask: Ask) -> Answer:
    """Return the setting of alerts."""
    _check_only(ask, _ALERTS)
    return Answer(body=_alerts(ask, ask.service.signs.alerts(ask.caller, ask.vault)))


def put_alerts(ask: Ask) -> Answer:
    """Say who is told of events by mail; who is told otherwise stays as it is."""
    _check_only(ask, _ALERTS)
    if ask.text("properties", "sendToOwners", default="DoNotSend").casefold() != "donotsend":
        raise TurnedAway(
            "this server knows no mailboxes of owners", cure="name them among customEmailAddresses"
        )
    locale = ask.text("properties", "locale", default=_LOCALE)
    if not locale.casefold().startswith("en"):
        raise TurnedAway(f"alerts are not written in {locale[:20]}", cure=f"name {_LOCALE}")
    before = ask.service.signs.alerts(ask.caller, ask.vault)
    after: AlertSettings = replace(before, mailboxes=ask.texts("properties", "customEmailAddresses"))
    ask.service.signs.set_alerts(ask.caller, after)
    return Answer(body=_alerts(ask, after))


def list_settings(ask: Ask) -> Answer:
    """Return the one setting of a vault."""
    ask.service.vaults.get(ask.caller, ask.vault)
    return page(ask, (_setting(ask),))


def get_setting(ask: Ask) -> Answer:
    """Return the setting of a vault."""
    _check_only(ask, _SETTING)
    ask.service.vaults.get(ask.caller, ask.vault)
    return Answer(body=_setting(ask))


def put_setting(ask: Ask) -> Answer:
    """Take a setting that asks for nothing; what it could name is for scenarios that are not built yet."""
    for word in ("migrationSolutionId", "vmwareToAzureProviderType"):
        if ask.text("properties", word):
            raise TurnedAway(f"{word} is for machines that this server does not know yet", code="not-yet")
    return get_setting(ask)


def get_extended(ask: Ask) -> Answer:
    """Return what clients left with a vault."""
    return Answer(body=_extended(ask, ask.service.vaults.extended(ask.caller, ask.vault)))


def put_extended(ask: Ask) -> Answer:
    """Keep what a client leaves with a vault. Nothing here is opened by it."""
    return _keep(ask, ExtendedInfo(ask.vault))


def patch_extended(ask: Ask) -> Answer:
    """Keep what a client leaves with a vault, over what is there."""
    try:
        return _keep(ask, ask.service.vaults.extended(ask.caller, ask.vault))
    except Missing:
        return put_extended(ask)


def _keep(ask: Ask, before: ExtendedInfo) -> Answer:
    after = ExtendedInfo(
        ask.vault,
        ask.text("properties", "integrityKey", default=before.integrity_key),
        ask.text("properties", "encryptionKey", default=before.encryption_key),
        ask.text("properties", "encryptionKeyThumbprint", default=before.thumbprint),
        ask.text("properties", "algorithm", default=before.algorithm),
    )
    ask.service.vaults.extend(ask.caller, after)
    return Answer(body=_extended(ask, after))


def _check_only(ask: Ask, name: str) -> None:
    if ask.names["setting"].casefold() != name.casefold():
        raise Missing(f"there is no setting {ask.names['setting']}", cure=f"the only one is {name}")


def _alerts(ask: Ask, settings: AlertSettings) -> Mapping[str, object]:
    said = {"sendToOwners": "DoNotSend", "customEmailAddresses": list(settings.mailboxes), "locale": _LOCALE}
    return resource(ask.home, f"replicationAlertSettings/{_ALERTS}", "replicationAlertSettings", said)


def _setting(ask: Ask) -> Mapping[str, object]:
    said = {"migrationSolutionId": None, "vmwareToAzureProviderType": None}
    return resource(ask.home, f"replicationVaultSettings/{_SETTING}", "replicationVaultSettings", said)


def _extended(ask: Ask, info: ExtendedInfo) -> Mapping[str, object]:
    said = {
        **{"integrityKey": info.integrity_key, "encryptionKey": info.encryption_key or None},
        **{"encryptionKeyThumbprint": info.thumbprint or None, "algorithm": info.algorithm},
    }
    return resource(ask.home, f"extendedInformation/{_EXTENDED}", "extendedInformation", said)


HANDLERS = {
    "replication_alert_settings.list": list_alerts,
    "replication_alert_settings.get": get_alerts,
    "replication_alert_settings.create": put_alerts,
    "replication_vault_setting.list": list_settings,
    "replication_vault_setting.get": get_setting,
    "replication_vault_setting.create": put_setting,
    "vault_extended_info.get": get_extended,
    "vault_extended_info.create_or_update": put_extended,
    "vault_extended_info.update": patch_extended,
}

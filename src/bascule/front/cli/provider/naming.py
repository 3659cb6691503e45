"""Which provider, and which of its groups: options that its commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bascule.front.cli.tools import Tools
from bascule.model.errors import Refused
from bascule.replication.provider.folder import ItemFolder, ProviderFolder

_SETTING = "BASCULE_PROVIDER"

FolderPath = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="FOLDER",
        help=f"The provider's folder. Or set {_SETTING}.",
        show_default=False,
    ),
]
GroupName = Annotated[str, typer.Argument(metavar="GROUP", help="The protected group.", show_default=False)]


def provider_of(tools: Tools, option: Path | None) -> ProviderFolder:
    """Return the provider's folder that an option names, or else the environment."""
    named = str(option or tools.settings.get(_SETTING, ""))
    if not named:
        raise Refused("no provider was named", cure=f"name its folder: --folder FOLDER or {_SETTING}")
    return ProviderFolder(Path(named).absolute())


def item_of(tools: Tools, option: Path | None, group: str) -> ItemFolder:
    """Return the folder of a group that is protected."""
    return provider_of(tools, option).existing(group)

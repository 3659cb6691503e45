"""What is asked beforehand, kept on the host of the failover."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule.model.errors import Damaged, Refused
from bascule.recovery.record import Records
from bascule.recovery.shapes.asked import EVERY, Asked, Card, Wanted
from bascule.recovery.shapes.kept import Kept, keep, kept

FAILOVER = Asked({"db": Wanted("db-2", 4, 0, {"net0": Card("dmz")}), EVERY: Wanted(memory_mib=512)})
TEST = Asked({"db": Wanted(cards={"net0": Card("isolated")})})


def test_it_is_kept_for_all_generations_of_a_group(tmp_path: Path) -> None:
    records = Records(tmp_path)
    assert kept(records, "shop") == Kept()
    keep(records, "shop~2", Kept(FAILOVER, TEST))
    assert kept(records, "shop") == kept(records, "shop~3") == Kept(FAILOVER, TEST)
    assert kept(records, "shopping") == Kept()


def test_a_test_has_the_sizes_of_a_failover_and_neither_its_names_nor_its_cards() -> None:
    command, test, sizes = Kept(FAILOVER, TEST).test_shape(Asked()).layers
    assert (command, test) == (Asked(), TEST)
    assert sizes == Asked({"db": Wanted(cpus=4), EVERY: Wanted(memory_mib=512)})


@pytest.mark.parametrize(
    ("content", "error"),
    [("{", Damaged), ("{}", Damaged), ('{"format": 1, "failover": 3}', Damaged), ('{"format": 2}', Refused)],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, content: str, error: type[Exception]) -> None:
    (tmp_path / "shop/shape").mkdir(parents=True)
    (tmp_path / "shop/shape/shape").write_text(content)
    with pytest.raises(error, match="shop/shape/shape"):
        kept(Records(tmp_path), "shop")

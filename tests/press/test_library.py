"""The list of library modules and the pages that use them."""

from encore import register
from press import library


def test_a_page_is_listed_with_the_modules_it_reaches_and_no_others(compendium):
    compendium.add("plain")
    compendium.add("base", "from encore.bases import vec_control_envs")
    found = {m.name: m for m in library.modules([register.load("lab/plain"), register.load("lab/base")])}
    assert found["encore.bases.vec_control_envs"].pages == ("lab/base",)
    assert "Pendulum" in found["encore.bases.vec_control_envs"].offers
    assert found["encore.page"].pages == found["encore.seeds"].pages == ("lab/plain", "lab/base")
    assert found["encore.nets.efficientnet_lite0"].pages == ()
    assert not any(name.startswith("_") for m in found.values() for name in m.offers)


def test_every_module_says_what_it_is_for():
    assert [m.name for m in library.modules([]) if not m.says.strip()] == []

"""The way of a round: as given, or from site to the nearest site."""

from dataclasses import replace
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pilewatch.route import Place, given_order, metres, nearest_order

DEGREES = st.floats(-89, 89)
PLACES = st.lists(
    st.builds(
        lambda site, charger, where: Place(f"C{charger}", f"s{site}", *where),
        st.integers(0, 6),
        st.integers(0, 99),
        st.none().map(lambda _: (None, None)) | st.tuples(DEGREES, DEGREES),
    ),
    max_size=20,
    unique_by=lambda place: place.charger,
)


def test_a_degree_of_latitude_is_111_kilometres() -> None:
    assert 111_000 < metres(31, 121, 32, 121) < 111_400
    assert metres(31, 121, 31, 121) == 0


def test_the_way_leads_from_the_north_to_what_is_nearest() -> None:
    spots = {"south": 31.0, "middle": 31.2, "north": 31.5, "near-north": 31.4}
    places = [Place(f"C-{site}-{n}", site, at, 121) for site, at in spots.items() for n in (2, 1)]
    way = nearest_order([*places, Place("C-lost", "a-lost-site")])
    assert [p.site for p in way[::2]] == ["north", "near-north", "middle", "south", "a-lost-site"]
    assert [p.charger for p in way[:2]] == ["C-north-1", "C-north-2"]


def test_the_given_order_is_kept_and_the_rest_comes_last() -> None:
    places = [Place(code, "s") for code in ("C1", "C2", "C3", "C4")]
    way = given_order(places, ["C3", "C9", "C1"])
    assert [p.charger for p in way] == ["C3", "C1", "C2", "C4"]


@given(PLACES, st.randoms())
def test_every_pile_is_on_the_way_once_whatever_order_they_came_in(
    places: list[Place], chance: Random
) -> None:
    where = {p.site: p for p in places}
    places = [replace(where[p.site], charger=p.charger) for p in places]
    way = nearest_order(places)
    assert sorted(p.charger for p in way) == sorted(p.charger for p in places)
    changes = [a for a, b in pairwise(p.site for p in way) if a != b]
    assert len(changes) == max(0, len(where) - 1), "piles of one site stay together"
    chance.shuffle(places)
    assert nearest_order(places) == way

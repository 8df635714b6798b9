"""Alice lives on one node, Bob on another: how they meet, write, lose sight of each other, and go on.

Both nodes are the program as people start it. They find each other by what is in a link: its host, here a port of this
machine, which `net_allow` permits as it would a home network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.conftest import Meet
from tests.e2e.person import PHONE, Person
from tests.e2e.program import Program
from tests.e2e.village import Village

LOOPBACK = 'net_allow = ["127.0.0.0/8"]\n'
LONG_MS = 30_000  # a link is dialled anew within this time

Two = tuple[Program, Program]


@pytest.fixture
def nodes(tmp_path: Path, webui: None) -> Iterator[Two]:
    """Two nodes that have never heard of each other."""
    both = (Program(tmp_path / "a" / "data", settings=LOOPBACK), Program(tmp_path / "b" / "data", settings=LOOPBACK))
    for node in both:
        node.start()
    yield both
    for node in both:
        node.stop()


@pytest.fixture
def villages(nodes: Two, chromium: Browser) -> Iterator[tuple[Village, Village]]:
    """Their owners have settled in."""
    owners = [
        Person(chromium, node.origin, name) for node, name in zip(nodes, ("Olga Berg", "Omar Haddad"), strict=True)
    ]
    yield Village(nodes[0], owners[0], name="Casa"), Village(nodes[1], owners[1], name="Hütte")
    for owner in owners:
        owner.leave()


@pytest.mark.timeout(280)
def test_two_people_of_two_nodes(nodes: Two, villages: tuple[Village, Village], meet: Meet) -> None:
    alice = meet("Alice Martin", villages[0].origin)
    # The link has the https address of Alice's node, whose certificate is its own; Bob accepts it once.
    bob = meet("Bob Weaver", villages[1].origin, ignore_https_errors=True)
    villages[0].settle(alice)
    villages[1].settle(bob)

    link = alice_makes_a_contact_link(alice)
    bob_opens_it(bob, link)
    they_write(alice, bob)
    a_group_of_both(alice, bob)
    the_other_node_goes_away_and_comes_back(nodes[0], alice, bob)


def alice_makes_a_contact_link(alice: Person) -> str:
    """From the page of contacts: a code and a link."""
    alice.goes("/contacts")
    alice.sees("Nobody yet. Add people by their address, a link or a code.")
    alice.presses("My contact link")
    expect(alice.page.get_by_role("img", name="QR code of your contact link")).to_be_visible()
    alice.shot("40-my-contact-link")
    link = alice.page.get_by_role("dialog").get_by_label("My contact link").input_value()
    alice.presses("Close")
    return link


def bob_opens_it(bob: Person, link: str) -> None:
    """It leads to Alice's node, where Bob has no account; he goes on to his own."""
    bob.goes(link)
    bob.sees("Write to Alice Martin")
    bob.shot("41-link-on-a-foreign-node")
    bob.presses("I have an account on another node")
    bob.fills("Your node or your address", bob.origin)
    bob.presses("Go on there")
    expect(bob.page.get_by_role("dialog")).to_contain_text("Alice Martin")
    bob.shot("42-found-there")
    bob.page.get_by_label("A few words (optional)").fill("Hi Alice, this is my new node.")
    bob.page.get_by_role("dialog").get_by_role("button", name="Add contact").click()
    expect(bob.page.get_by_role("heading", name="Alice Martin")).to_be_visible()
    bob.presses("Send message")


def they_write(alice: Person, bob: Person) -> None:
    """The words of the question are the first message; then both answer."""
    expect(bob.message("Hi Alice, this is my new node.")).to_be_visible()
    alice.goes("/")
    alice.opens("Bob Weaver")
    expect(alice.message("Hi Alice, this is my new node.")).to_be_visible()
    alice.writes("Welcome, Bob!")
    expect(bob.message("Welcome, Bob!")).to_be_visible()
    sent = bob.writes("It is snug here.")
    expect(alice.message("It is snug here.")).to_be_visible()
    expect(sent.get_by_label("Read")).to_be_visible()
    bob.shot("43-a-chat-across-nodes")
    bob.chooses(sent, "Message details")
    bob.sees("This node")
    bob.sees("Stable", exact=True)
    bob.sees(re.compile("^has it · orders this chat|^has it$"))
    bob.shot("44-message-details")
    bob.presses("Close")


def a_group_of_both(alice: Person, bob: Person) -> None:
    """Alice's node orders it."""
    alice.goes("/new")
    alice.fills("Group name", "Hiking")
    alice.page.get_by_role("checkbox", name="Bob Weaver").click()
    alice.shot("45-guests-of-other-nodes")
    alice.presses("Create and invite 1")
    expect(alice.page.get_by_role("heading", name="Hiking").first).to_be_visible()
    bob.goes("/")
    bob.presses("Accept")
    bob.opens("Hiking")
    bob.writes("Saturday?")
    expect(alice.message("Saturday?")).to_be_visible()
    alice.goes(alice.page.url.rstrip("/") + "/members")
    expect(alice.page.get_by_role("list", name="Members")).to_contain_text("Bob Weaver")
    alice.shot("46-members-of-two-nodes")


def the_other_node_goes_away_and_comes_back(node: Program, alice: Person, bob: Person) -> None:
    """What Bob writes waits on his node, says so, and arrives once."""
    alice.expects_outage = True
    node.kill()
    waiting = bob.writes("I bring the map.")
    expect(waiting.get_by_label(re.compile("^Waiting for"))).to_be_visible()
    bob.sees(re.compile("cannot be reached; what you write waits here"))
    bob.shot("47-waiting-for-a-node")
    node.start()
    alice.goes("/")
    alice.opens("Hiking")
    expect(alice.message("I bring the map.")).to_be_visible(timeout=LONG_MS)
    expect(bob.message("I bring the map.").get_by_label(re.compile("^Waiting for"))).to_have_count(0)
    expect(bob.page.get_by_text("cannot be reached; what you write waits here")).to_have_count(0)
    expect(alice.page.get_by_role("article").filter(has_text="I bring the map.")).to_have_count(1)


@pytest.mark.timeout(200)
def test_a_stranger_asks(villages: tuple[Village, Village], meet: Meet) -> None:
    """By address, with a few words; and what the admin sees of it."""
    casa, hut = villages
    ida, sven = meet("Ida Noor", casa.origin), meet("Sven Holm", hut.origin, viewport=PHONE, has_touch=True)
    me, stranger = casa.settle(ida), hut.settle(sven)
    stranger.post(
        "/introductions", {"address": str(me.post("/contact-links", {})["url"])}
    )  # the nodes know each other now

    sven.goes("/add")
    sven.fills("Address or link", "nobody@casa.invalid.example")
    sven.presses("Find")
    sven.sees(re.compile("^Nobody answers at casa.invalid.example"))
    sven.shot("48-phone-not-found")
    sven.fills("Address or link", f"{me.user}.startalk.alt")
    sven.presses("Find")
    sven.page.get_by_label("A few words (optional)").fill("We met at the fair. May I write to you?")
    sven.shot("49-phone-a-few-words")
    sven.presses("Ask")
    sven.sees(re.compile("^Waiting for an answer since"))
    sven.shot("50-phone-waiting-for-an-answer")

    ida.goes("/")
    expect(ida.page.get_by_label("1 request")).to_be_visible()
    ida.presses("Contacts", role="link", exact=False)
    ida.sees("We met at the fair. May I write to you?")
    ida.shot("51-request")
    ida.presses("Accept")
    expect(ida.message("We met at the fair. May I write to you?")).to_be_visible()
    sven.presses("Send message")
    sven.writes("Thank you!")
    expect(ida.message("Thank you!")).to_be_visible()
    sven.shot("52-phone-chat-across-nodes")

    olga = meet("Olga", casa.origin)
    casa.sign_in(olga, "olga")
    olga.goes("/admin/peers")
    olga.page.get_by_role("region", name="Other nodes").get_by_role("link").first.click()
    olga.sees("Safety words")
    olga.shot("53-a-peer")

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
from tests.e2e.person import PASSWORD, PHONE, Person
from tests.e2e.program import LOOPBACK, Program
from tests.e2e.test_screens import LOOKS, load_axe, screen, walk
from tests.e2e.village import Village, client_id

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
def test_a_stranger_asks(pair: tuple[Village, Village], meet: Meet) -> None:
    """By address, with a few words; and what the admin sees of it."""
    casa, hut = pair
    ida, sven = meet("Ida Noor", casa.origin), meet("Sven Holm", hut.origin, viewport=PHONE, has_touch=True)
    me, _ = casa.settle(ida), hut.settle(sven)

    sven.goes("/add")
    sven.fills("Address or link", "nobody@away.example")
    sven.presses("Find")
    sven.sees(re.compile("^away.example does not answer"))
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
    olga.presses("Check connection")
    olga.sees(re.compile("^It answered after"))


@pytest.mark.timeout(120)
def test_an_admin_looks_for_a_node(pair: tuple[Village, Village], meet: Meet) -> None:
    """What is asked when a connection fails, and whether others reach this node."""
    olga = meet("Olga", pair[0].origin)
    pair[0].sign_in(olga, "olga")
    olga.goes("/admin/peers")
    olga.fills("Connect to a node", "away.example")
    olga.presses("Connect")
    olga.sees(re.compile("^away.example does not answer"))
    olga.presses("Look now")
    steps = olga.page.get_by_role("list", name="How it is looked for").get_by_role("listitem")
    expect(steps.first).to_be_visible(timeout=LONG_MS)
    olga.presses("Let other nodes try")
    expect(olga.page.get_by_role("list", name="Let other nodes try")).to_be_visible()
    olga.page.get_by_role("region", name="How others reach this node").scroll_into_view_if_needed()
    olga.shot("60-how-others-reach-this-node")


def test_an_admin_lets_only_some_nodes_in(pair: tuple[Village, Village], meet: Meet) -> None:
    """The link with the other node ends, and comes back when that node is allowed."""
    casa, hut = pair
    olga = meet("Olga", casa.origin)
    casa.sign_in(olga, "olga")
    olga.goes("/admin/peers")
    card = olga.page.get_by_role("region", name="Which nodes may connect")
    expect(card).to_contain_text("Any node may connect")
    card.get_by_text("Only those I allow").click()
    olga.page.get_by_role("dialog").get_by_role("button", name="Only those I allow").click()
    expect(card).to_contain_text("All other nodes are turned away")
    card.scroll_into_view_if_needed()
    olga.shot("63-only-allowed-nodes")
    olga.page.get_by_role("region", name="Other nodes").get_by_role("link").first.click()
    olga.presses("Allow node")
    expect(olga.page.get_by_role("button", name="No longer allow")).to_be_visible()
    hut.olga.post("/admin/peers", {"address": casa.olga.user.partition("@")[2]})
    expect(olga.page.get_by_role("button", name="Check connection")).to_be_visible()
    olga.shot("64-an-allowed-node")
    olga.goes("/admin/peers")
    card.get_by_text("Every node").click()
    expect(card).to_contain_text("Any node may connect")


def test_requests_are_ignored_blocked_and_taken_back(pair: tuple[Village, Village], meet: Meet) -> None:
    """No is never sent; whoever asked may take it back."""
    casa, hut = pair
    ida, sven, nora = meet("Ida Noor", casa.origin), meet("Sven Holm", hut.origin), meet("Nora Lind", hut.origin)
    me, one, other = casa.settle(ida), hut.settle(sven), hut.settle(nora)
    for asking in (one, other):
        asking.post("/contacts", {"address": me.user, "text": "Hello?"})
    ida.goes("/contacts")
    ida.page.get_by_role("article", name="Request of Sven Holm").get_by_role("button", name="Ignore").click()
    ida.sees(re.compile("^The request of Sven Holm is hidden"))
    ida.page.get_by_role("article", name="Request of Nora Lind").get_by_role("button", name="Block").click()
    ida.sees(re.compile("^Nora Lind is blocked"))
    ida.page.get_by_role("region", name="On other nodes").get_by_role("link", name=re.compile("Nora Lind")).click()
    ida.page.get_by_role("main").get_by_role("button", name="Unblock").click()
    ida.sees("Nora Lind may ask you again.")
    sven.goes(f"/contacts/{me.user}")
    sven.presses("Withdraw")
    sven.sees(re.compile("^Your request to"))
    expect(sven.page.get_by_role("region", name="On other nodes").get_by_role("link")).to_have_count(0)


def test_a_code_is_read_from_a_picture(pair: tuple[Village, Village], meet: Meet, tmp_path: Path) -> None:
    """Somebody sent a picture of a code; there is a camera, too, but nothing is in front of it."""
    casa, hut = pair
    ida, sven = meet("Ida Noor", casa.origin), meet("Sven Holm", hut.origin)
    casa.settle(ida)
    hut.settle(sven)
    ida.goes("/add/link")
    code = ida.page.get_by_role("img", name="QR code of your contact link")
    expect(code).to_be_visible()
    code.locator("..").screenshot(path=tmp_path / "code.png")

    sven.goes("/add")
    sven.presses("Scan a code")
    expect(sven.page.get_by_label("Camera")).to_be_visible()
    sven.shot("54-scan")
    sven.page.locator("input[type=file]").set_input_files(tmp_path / "code.png")
    expect(sven.page.get_by_role("dialog")).to_contain_text("Ida Noor")
    sven.page.get_by_role("dialog").get_by_role("button", name="Add contact").click()
    sven.presses("Send message")
    sven.writes("Read from a picture")
    ida.goes("/")
    ida.opens("Sven Holm")
    expect(ida.message("Read from a picture")).to_be_visible()


def test_a_link_into_a_group_of_another_node(pair: tuple[Village, Village], meet: Meet) -> None:
    """Pasted at home, or opened where the group is; the chat opens when one is let in."""
    casa, hut = pair
    ida, sven = meet("Ida Noor", casa.origin), meet("Sven Holm", hut.origin)
    me = casa.settle(ida)
    hut.settle(sven)
    room = me.group("Garden")
    link = str(me.post(f"/rooms/{room}/links", {"uses": 5})["url"])
    nora_opens_it_there(meet("Nora Lind", hut.origin, ignore_https_errors=True), hut, link)
    sven.goes("/add")
    sven.fills("Address or link", link)
    expect(sven.page.get_by_role("dialog")).to_contain_text("Garden")
    sven.shot("55-group-of-another-node")
    sven.presses("Join group")
    expect(sven.page.get_by_role("main").get_by_role("heading", name="Garden")).to_be_visible()
    sven.writes("Where are the spades?")
    ida.goes(f"/c/{room}")
    expect(ida.message("Where are the spades?")).to_be_visible()
    sven.goes(sven.page.url.rstrip("/") + "/info")
    expect(sven.page.get_by_role("region", name="Nodes of this chat")).to_contain_text("orders this chat")


def nora_opens_it_there(nora: Person, hut: Village, link: str) -> None:
    """She is not signed in on her own node either."""
    hut.settle(nora)
    local = hut.last
    nora.context.clear_cookies()
    nora.goes(link)
    nora.sees(re.compile("^You are invited to “Garden”"))
    nora.presses("I have an account on another node")
    nora.fills("Your node or your address", "no node")
    nora.presses("Go on there")
    nora.sees(re.compile("^This is no address of a node"))
    nora.fills("Your node or your address", hut.origin)
    nora.presses("Go on there")
    nora.sees("Sign in, then the link is opened.")
    nora.shot("61-sign-in-to-go-on")
    nora.fills("User name", local)
    nora.fills("Password", PASSWORD)
    nora.presses("Sign in")
    expect(nora.page.get_by_role("dialog")).to_contain_text("Garden")
    nora.presses("Join group")
    expect(nora.page.get_by_role("main").get_by_role("heading", name="Garden")).to_be_visible()


def test_what_another_node_refuses(pair: tuple[Village, Village], meet: Meet) -> None:
    """It was written while the nodes did not talk, and everybody was muted meanwhile."""
    casa, hut = pair
    ida, sven = meet("Ida Noor", casa.origin), meet("Sven Holm", hut.origin)
    me, far = casa.settle(ida), hut.settle(sven)
    far.befriend(me)
    room = str(me.post("/rooms", {"name": "Board", "guests": [far.user], "client_id": client_id()})["room"])
    sven.goes("/")
    sven.presses("Accept")
    expect(sven.page.get_by_role("main").get_by_role("heading", name="Board")).to_be_visible()

    peer = f"/admin/peers/{far.user.partition('@')[2]}"
    casa.olga.patch(peer, {"policy": "block"})
    me.act(room, "mute_all", {"on": True})
    waiting = sven.writes("I object.")
    expect(waiting.get_by_label(re.compile("^Waiting for"))).to_be_visible()
    casa.olga.patch(peer, {"policy": "open"})
    hut.olga.post(f"/admin/peers/{me.user.partition('@')[2]}/dial", {})
    sven.sees(re.compile("^Not accepted: "))
    sven.shot("56-refused-elsewhere")
    me.act(room, "mute_all", {"on": False})
    expect(sven.composer).to_be_visible()
    sven.presses("Send again")
    ida.goes(f"/c/{room}")
    expect(ida.message("I object.")).to_be_visible()
    expect(sven.page.get_by_text(re.compile("^Not accepted: "))).to_have_count(0)


def test_a_group_whose_node_is_gone_goes_on(pair: tuple[Village, Village], meet: Meet) -> None:
    """Its owner lives on the other node, and says so there."""
    casa, hut = pair
    ida, sven = meet("Ida Noor", casa.origin), meet("Sven Holm", hut.origin)
    me, far = casa.settle(ida), hut.settle(sven)
    far.befriend(me)
    room = str(me.post("/rooms", {"name": "Choir", "guests": [far.user], "client_id": client_id()})["room"])
    sven.goes("/")
    sven.presses("Accept")
    expect(sven.page.get_by_role("main").get_by_role("heading", name="Choir")).to_be_visible()
    me.act(room, "transfer", {"user": far.user})
    expect(sven.page.get_by_text("Ida Noor handed the group over to you")).to_be_visible()

    peer = f"/admin/peers/{far.user.partition('@')[2]}"
    casa.olga.patch(peer, {"policy": "block"})
    sven.writes("Is anybody there?")
    sven.sees(re.compile("cannot be reached; what you write waits here"))
    sven.goes(f"/c/{room}/info")
    sven.presses("Go on as a new group")
    sven.shot("58-go-on-as-a-new-group")
    sven.page.get_by_role("dialog").get_by_role("button", name="Go on as a new group").click()
    sven.sees("You went on with the group here")
    sven.writes("Here we go on.")
    sven.goes(f"/c/{room}")
    sven.sees("The owner let this group go on as a new one.")
    sven.presses("Open “Choir”")
    expect(sven.message("Here we go on.")).to_be_visible()
    casa.olga.patch(peer, {"policy": "open"})
    hut.olga.post(f"/admin/peers/{me.user.partition('@')[2]}/dial", {})
    ida.goes("/")
    ida.presses("Accept")
    ida.writes("Found it.")
    expect(sven.message("Found it.")).to_be_visible()


def test_a_whole_node_is_kept_out(pair: tuple[Village, Village], meet: Meet) -> None:
    """From the menu of one of its people."""
    casa, hut = pair
    ida, sven = meet("Ida Noor", casa.origin), meet("Sven Holm", hut.origin)
    me, far = casa.settle(ida), hut.settle(sven)
    far.befriend(me)
    room = str(me.post("/rooms", {"name": "Market", "guests": [far.user], "client_id": client_id()})["room"])
    sven.goes("/")
    sven.presses("Accept")
    expect(sven.composer).to_be_visible()
    ida.goes(f"/c/{room}/members")
    ida.presses("Actions for Sven Holm")
    ida.page.get_by_role("menuitem", name=re.compile("^Ban everybody of")).click()
    ida.page.get_by_label("Reason (optional)").fill("Advertising")
    ida.shot("59-ban-a-node")
    ida.presses("Ban everybody")
    sven.sees("You are no longer in this group.")
    ida.sees(re.compile("^You banned everybody of"))
    ida.sees("1 member")


def test_a_contact_who_is_gone(pair: tuple[Village, Village], meet: Meet) -> None:
    """The chat stays readable and says how to go on."""
    casa, hut = pair
    ida, sven = meet("Ida Noor", casa.origin), meet("Sven Holm", hut.origin)
    me, far = casa.settle(ida), hut.settle(sven)
    room = far.befriend(me)
    far.says(room, "Good morning")
    sven.goes(f"/c/{room}")
    expect(sven.message("Good morning")).to_be_visible()
    far.delete(f"/contacts/{me.user}")
    sven.sees(re.compile("^Ida Noor is not a contact now; "))
    sven.shot("57-no-contact-any-more")
    sven.presses("Ask again")
    sven.presses("Ask")
    sven.sees(re.compile("^Waiting for an answer since|^Send message$"))


@pytest.mark.parametrize("look", ["light", "dark", "zh", "phone", "contrast"])
@pytest.mark.timeout(180)
def test_axe_finds_nothing(pair: tuple[Village, Village], meet: Meet, look: str) -> None:
    """The screens that exist only with another node."""
    casa, hut = pair
    olga, ida = meet("Olga", casa.origin, **LOOKS[look]), meet("Ida Noor", casa.origin, **LOOKS[look])
    sven, nora = meet("Sven Holm", hut.origin), meet("Nora Lind", hut.origin)
    casa.sign_in(olga, "olga")
    me, far, stranger = casa.settle(ida), hut.settle(sven), hut.settle(nora)
    room = me.befriend(far)
    said = me.says(room, "See you on Saturday at the station?")
    far.says(room, "Yes! I bring the map.")
    stranger.post("/contacts", {"address": me.user, "text": "We met at the fair. May I write to you?"})
    node = far.user.partition("@")[2]
    findings: list[str] = []

    ida.goes("/contacts")
    load_axe(ida)
    for name, path, sign in (
        ("far-request", "/contacts", "aside article"),
        ("far-contact", f"/contacts/{far.user}", "main section h1"),
        ("far-asking", f"/contacts/{stranger.user}", "main section blockquote"),
        ("far-add", "/add", "dialog[open] form"),
        ("far-link", "/add/link", "dialog[open] svg path[d^=M]"),
        ("far-new-group", "/new", "dialog[open] [role=checkbox]"),
        ("far-info", f"/c/{room}/info", "main + aside section li"),
        ("far-chat", f"/c/{room}", "[role=feed] article"),
    ):
        walk(ida, path)
        findings += screen(ida, name, sign, look)
    ida.page.get_by_role("article").filter(has_text="See you on Saturday").last.click(button="right")
    ida.page.get_by_role("menuitem", name=re.compile("Message details|消息详情")).click()
    findings += screen(ida, "far-details", "dialog[open] li", look)
    assert said

    olga.goes("/admin/peers")
    load_axe(olga)
    for name, path, sign in (("peers", "/admin/peers", "main li a"), ("peer", f"/admin/peers/{node}", "main ol li")):
        walk(olga, path)
        findings += screen(olga, name, sign, look)
    assert not findings, "\n".join(findings)

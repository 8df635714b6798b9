"""Every number that bounds something, with its unit and its reason. A meta test asks that each is used and tested.

Rates here are the defaults of live settings (see node/services/settings.py); everything else is fixed.
"""

from __future__ import annotations

from typing import Final

# --- bytes on a wire -------------------------------------------------------------------------------------
FRAME_BYTES_MAX: Final = 256 * 1024  # one event plus margin
NODE_FRAME_BYTES_MAX: Final = 8 * 1024 * 1024  # what a device accepts: a page of cards with long last messages
JSON_BODY_BYTES_MAX: Final = 1024 * 1024  # requests are designed to stay under 40 KiB
HEADER_LINE_BYTES_MAX: Final = 8 * 1024
HEADERS_BYTES_MAX: Final = 16 * 1024  # all header lines of a request
PEEKED_MAX: Final = 2_048  # connections that have not said a byte; the oldest one makes room
ACCEPT_PAUSE_S: Final = 0.1  # when the process has no descriptors left
FIRST_REQUEST_S: Final = 10  # a connection that has not asked anything by then is closed
REQUEST_BODY_S: Final = 30  # a body of 1 MiB arrives by then even on a slow line
BODY_BYTES_MAX: Final = 64 * 1024  # an event body; four fit in a frame
DEPTH_MAX: Final = 16  # nesting of a body; kinds are designed for <= 8
KEYS_MAX: Final = 128  # keys of one map in a body
ITEMS_MAX: Final = 4096  # items of one list in a body
INTEGER_MAX: Final = 2**53  # one JSON-safe range everywhere

# --- text -------------------------------------------------------------------------------------------------
TEXT_CHARS_MAX: Final = 20_000  # longer text becomes a file
FALLBACK_CHARS_MAX: Final = 500
QUOTE_CHARS_MAX: Final = 200
NAME_CHARS_MAX: Final = 60  # room and display names: screen size
TOPIC_CHARS_MAX: Final = 4_000  # announcement
REASON_CHARS_MAX: Final = 200
REACTION_BYTES_MAX: Final = 64  # one emoji sequence
KIND_CHARS_MAX: Final = 32
DEVICE_NAME_CHARS_MAX: Final = 60
LOCAL_NAME_CHARS_MIN: Final = 2
LOCAL_NAME_CHARS_MAX: Final = 32
PASSWORD_CHARS_MIN: Final = 8
PASSWORD_CHARS_MAX: Final = 256
NAME_IN_PASSWORD_CHARS_MIN: Final = 4  # shorter user names occur in good passwords by chance

# --- rooms ------------------------------------------------------------------------------------------------
MENTIONS_MAX: Final = 50  # fan-out of notices
EDITS_MAX: Final = 50
REACTIONS_PER_MEMBER_MAX: Final = 12  # on one message
REACTIONS_DISTINCT_MAX: Final = 64  # on one message
MEMBERS_MAX: Final = 1_000
ADMINS_MAX: Final = 20
ROOMS_PER_USER_MAX: Final = 2_000
INVITE_BATCH_MAX: Final = 50
BANS_MAX: Final = 1_000
NODES_BANNED_MAX: Final = 200  # of one room
SILENCED_MAX: Final = 1_000  # muted members and visitors who left a room and are remembered; the oldest is forgotten
RECEIPT_MEMBERS_MAX: Final = 200  # above, receipts are counted and not sent one by one
RECALL_WINDOW_S_DEFAULT: Final = 120
RECALL_WINDOW_S_MAX: Final = 24 * 3600
EDIT_WINDOW_S_DEFAULT: Final = 24 * 3600
EDIT_WINDOW_S_MAX: Final = 30 * 24 * 3600
ROOM_LINKS_MAX: Final = 50  # live links of one room
CONTACT_LINKS_MAX: Final = 50  # live contact links of one account
UNREAD_COUNT_MAX: Final = 1_000  # counted up to here, shown as 999+

# --- rooms across nodes -----------------------------------------------------------------------------------
CATCH_UP_ENTRIES_MAX: Final = 500  # entries in one answer of a hub, or as many as fit into a frame
VOTERS_MAX: Final = 7  # nodes whose acknowledgement counts, the hub included: a majority stays quick
HEADS_AT_ONCE: Final = 500  # rooms in one comparison of heads or one set of acknowledgements
MARKS_AT_ONCE: Final = 500  # receipts or names in one request between nodes
REQUEST_CHARS_MAX: Final = 300  # what a stranger may say before they are let in
REQUESTS_PER_H: Final = 20  # of one account to strangers, and of strangers (invitations counted apart) to one account
REQUESTS_OPEN_MAX: Final = 100  # waiting for one person to answer; more are not kept
OFFERS_OPEN_MAX: Final = 100  # invitations into groups elsewhere that wait for one person; more are not kept
OFFERS_PER_HUB_MAX: Final = 1_000  # the same of one hub, for everybody here
REQUEST_LIFE_S: Final = 30 * 24 * 3600  # an unanswered request is forgotten
CONTACTS_MAX: Final = 3_000  # of one account
PENDING_MAX: Final = 1_000  # posts of one account that wait for other nodes
GOSSIP_DELAY_S: Final = 2  # heads are compared with other followers this long after entries came
UNANSWERED_LOOK_S: Final = 10  # a post that its hub received and two such looks found unanswered is sent again
RESENT_AT_ONCE: Final = 200  # such posts in one write: some ms
ACK_DELAY_S: Final = 0.2  # acknowledgements to a hub are gathered this long

# --- device socket ----------------------------------------------------------------------------------------
PAGE_ENTRIES_MAX: Final = 200  # history page
SYNC_PAGE_ENTRIES: Final = 60  # catch-up page
ENTRIES_FRAME_BYTES_MAX: Final = 255 * 1024  # one frame of entries
WINDOW_ENTRIES: Final = 1_024  # entries sent and not acknowledged before a reader is paused
ACK_WITHIN_MS: Final = 100  # a device acknowledges the first entries at once, those that follow so soon together
ACK_ENTRIES_MAX: Final = 32  # or as soon as there are so many
SOCKET_BUFFER_BYTES_MAX: Final = 256 * 1024  # in the kernel-bound buffer of one socket before it counts as slow
SLOW_READER_S: Final = 60  # a paused reader that acknowledges nothing this long is disconnected
HEARTBEAT_S: Final = 25  # clients ping this often; keeps NAT bindings
LINGER_S: Final = 5  # time a closing socket has to take its last words
IDLE_S: Final = 70  # nothing heard this long: the socket is dead
HELLO_S: Final = 10  # time to say hello after the upgrade
REQUESTS_IN_FLIGHT_MAX: Final = 256  # unanswered requests of one socket before reading pauses
SOCKETS_PER_DEVICE_MAX: Final = 4  # tabs that lost their leader
SIGNALS_PER_S: Final = 5  # typing and presence of one socket; the rest is dropped silently
TYPING_SHOWN_S: Final = 6
PRESENCE_ROOM_MEMBERS_MAX: Final = 200
RECEIPT_FLUSH_S: Final = 1  # receipts are gathered this long

# --- accounts ---------------------------------------------------------------------------------------------
DEVICES_PER_ACCOUNT_MAX: Final = 10
TOKEN_BYTES: Final = 32
INVITE_TOKEN_BYTES: Final = 16  # fits a QR code
INVITE_USES_MAX: Final = 1_000
INVITE_EXPIRY_S_DEFAULT: Final = 7 * 24 * 3600
INVITE_EXPIRY_S_MAX: Final = 365 * 24 * 3600
INVITES_LIVE_MAX: Final = 200
SESSION_IDLE_S: Final = 30 * 24 * 3600
SESSION_ABSOLUTE_S: Final = 180 * 24 * 3600
ARGON2_AT_ONCE: Final = 2  # 128 MiB peak
ARGON2_WAITING_MAX: Final = 32

# --- rates (defaults of live settings) ---------------------------------------------------------------------
POSTS_PER_ACCOUNT_PER_S: Final = 10
POSTS_PER_ACCOUNT_BURST: Final = 40
POSTS_PER_ROOM_PER_S: Final = 5
POSTS_PER_ROOM_BURST: Final = 20
ROOMS_CREATED_PER_H: Final = 10
INVITATIONS_PER_H: Final = 100
API_PER_SESSION_PER_S: Final = 20
API_PER_SESSION_BURST: Final = 100
API_PER_ADDRESS_PER_S: Final = 5
API_PER_ADDRESS_BURST: Final = 30
LOGIN_FAILURES_PER_ACCOUNT: Final = 5
LOGIN_FAILURES_PER_ADDRESS: Final = 30
LOGIN_FAILURE_WINDOW_S: Final = 15 * 60
LOGIN_DELAY_S_MAX: Final = 15 * 60
LOGINS_PER_NODE_PER_MIN: Final = 300

# --- finding nodes: the DHT (docs/spec/dht.md) --------------------------------------------------------------
DHT_DATAGRAM_BYTES_MIN: Final = 22  # kind, message id and one byte
DHT_DATAGRAM_BYTES_MAX: Final = 1_400  # fits one packet on every usual path; an answer is a record and 8 contacts
DHT_PADDED_BYTES: Final = 490  # a third of the largest answer and a ping: what a stranger sends so that it may get one
DHT_AMPLIFICATION_MAX: Final = 3  # bytes to a source whose address is not proven, per byte it sent
DHT_REQUESTS_PER_S: Final = 20  # of one address (IPv4 or IPv6 /64); a look-up asks a node once
DHT_REQUESTS_BURST: Final = 60
DHT_IN_FLIGHT_MAX: Final = 512  # requests waiting to be served, and our own without an answer
DHT_SOURCES_MAX: Final = 8_192  # addresses whose rate is remembered
DHT_REPLY_S: Final = 1.0  # a contact that has not answered by then is gone
DHT_SLOW_S: Final = 0.25  # one that takes longer no longer keeps the next from being asked
DHT_LOOKUP_S: Final = 4.0  # all of a look-up
DHT_LOOKUP_REQUESTS_MAX: Final = 64
DHT_K: Final = 20  # nearest nodes that hold a record, and contacts of a bucket
DHT_ALPHA: Final = 3  # requests at once on one path
DHT_PATHS: Final = 3  # disjoint paths of a look-up: one that was captured does not decide
DHT_QUORUM: Final = 8  # equal copies of the newest version that end a look-up
DHT_QUORUM_FIRST: Final = 20  # the same at a first contact, when no pin bounds the age
DHT_NEAR_WITH_VALUE: Final = 8  # contacts beside a record in an answer
DHT_NETWORK_MAX: Final = 2  # nodes of one /24 or /48 in a look-up and in a bucket
DHT_NETWORK_TABLE_MAX: Final = 8  # the same in a whole table
DHT_CONTACTS_MAX: Final = 512  # of a table; beyond, only the buckets around the own id grow
DHT_CONTACTS_MIN: Final = 3  # with fewer a node joins anew
DHT_PROBES_MAX: Final = 64  # strangers pinged back at once
DHT_FRESH_S: Final = 60  # a contact heard within this time is not checked
DHT_TOKEN_S: Final = 300  # life of a secret of store tokens; the one before it is still accepted
DHT_TOKENS_MAX: Final = 4_096  # tokens of others that are kept
DHT_RECORDS_MAX: Final = 4_096  # records held for others: 4 MB
DHT_KEPT_MAX: Final = 16  # records of our own; there are four kinds
DHT_RECORD_TTL_S: Final = 24 * 3600  # of a record that nobody stores again
DHT_REPUBLISH_S: Final = 3600
DHT_REPUBLISHED_MAX: Final = 256  # records of others stored anew in one round; a node of a usual network holds 20
DHT_REFRESHED_MAX: Final = 8  # buckets looked through in one round
DHT_REPAIRS_MAX: Final = 2  # holders of an older version that get the newest after a look-up
DHT_HANDOFF_MAX: Final = 32  # records given to a new neighbour at once
DHT_VOTERS_MAX: Final = 16  # peers whose view of our address counts
DHT_BOOTSTRAP_MAX: Final = 200  # contacts kept on disk, and as many learned over links
DHT_BOOTSTRAP_ASKED_MAX: Final = 32  # of these asked at once when joining
DHT_WATCH_S: Final = 30  # the number of contacts is looked at this often
DHT_JOIN_S_MIN: Final = 1  # between two attempts to join; doubles
DHT_JOIN_S_MAX: Final = 300
DHT_SAVE_S: Final = 600  # the list on disk is this old at most

# --- storage ----------------------------------------------------------------------------------------------
BATCH_WRITES_MAX: Final = 512  # transactions joined into one commit
BATCH_OWN_WRITES: Final = 128  # of one batch for own people before peers have their turns: about 5 ms
BATCH_PEER_BYTES: Final = 64 * 1024  # what one peer brings into one batch: a disk syncs it in a few milliseconds
BATCH_MS_MAX: Final = 20  # time the loop gives to one batch before it commits
WRITE_QUEUE_MAX: Final = 20_000  # waiting writes before new ones are refused
DISK_FREE_BYTES_MIN: Final = 64 * 1024 * 1024  # below, the node turns read-only instead of failing half-way
ROOM_CACHE_MAX: Final = 4_096
SIGN_HEADS_S: Final = 60  # heads of rooms that grew are signed this often
READERS: Final = 2  # threads for long reads
BACKUPS_KEPT: Final = 3  # copies made before a migration
DRAIN_S: Final = 5  # shutdown: time for devices to go

# --- links between nodes ------------------------------------------------------------------------------------
LINK_BODY_BYTES_MAX: Final = 255 * 1024  # an item, question or answer; fits a frame with its head
LINK_MESSAGE_BYTES_MAX: Final = FRAME_BYTES_MAX + 5 * 16  # a frame in up to five Noise records
HANDSHAKE_PAYLOAD_BYTES_MAX: Final = 4 * 1024  # chain, certificate and signature have 251 to 1,100 bytes
HANDSHAKE_MESSAGE_BYTES_MAX: Final = HANDSHAKE_PAYLOAD_BYTES_MAX + 96  # two keys and two tags around it
WHISPER_BYTES_MAX: Final = 16 * 1024  # never stored, so never large
LINK_WHISPERS_PER_S: Final = 200  # of one peer; more are dropped
LINK_CREDIT: Final = 256  # items under way and not acknowledged
LINK_FRAME_ITEMS_MAX: Final = 16  # items in one frame: so many signatures are checked before others have a turn
LINK_FRAME_ITEMS_BYTES_MAX: Final = (
    60 * 1024
)  # bodies gathered in one frame; with their heads they fit one Noise record
LINK_REQUESTS_MAX: Final = 64  # open questions each way
LINK_QUESTIONS_BURST: Final = 1_000  # questions of one link before it is read more slowly
LINK_QUESTIONS_PER_S: Final = 100  # and then so many are answered: with 1 ms each, a tenth of one core
LINK_REKEY_RECORDS: Final = 2**20  # records under one key
LINK_PINGS_MISSED_MAX: Final = 2  # then the peer is gone; pings are HEARTBEAT_S apart
LINK_PROBE_S: Final = 5  # a link whose peer dials again has this long to show that it lives
DIAL_DELAY_S_MIN: Final = 1  # bound of the first jittered delay; doubles
DIAL_DELAY_S_MAX: Final = 600  # for peers seen within DIAL_RECENT_S
DIAL_DELAY_RARE_S_MAX: Final = 3600  # for the others
DIAL_WANTED_S: Final = 300  # after the last dial, something new for the peer is a reason not to wait any longer
DIAL_RECENT_S: Final = 24 * 3600  # a peer seen within this time is likely to come back soon
LINK_WAITING_MAX: Final = 1_000  # items of one peer waiting for the disk before reading pauses
LINK_WAITING_BYTES_MAX: Final = 4 * 1024 * 1024  # the same in bytes
LINK_BATCH: Final = 64  # items of one transaction
LINK_USELESS_BURST: Final = 1_000  # refused items of one link, or any of a stranger, before it is slowed
LINK_USELESS_PER_S: Final = 250  # to this: a handful of syncs a second
LINK_REQUEST_S: Final = 30  # a question that is not answered by then is given up
LINK_RETRY_S: Final = 5  # after a goaway that will pass soon
LINK_NEW_RUN_S: Final = 600  # a peer may number anew this often
CONGESTED_POLL_S: Final = 0.05  # how often a full socket is looked at; transports have no event for it
QUARANTINE_PER_PEER_MAX: Final = 1_000  # refused items kept of one peer
QUARANTINE_BYTES_MAX: Final = 64 * 1024  # kept of one refused item
QUARANTINE_BURST_BYTES: Final = 256 * 1024  # of refused items of one link kept at once, and then
QUARANTINE_BYTES_PER_S: Final = 4 * 1024  # so much: of what is beyond only number and reason are kept
HANDSHAKE_S: Final = 5  # for the three messages of a handshake
HANDSHAKES_MAX: Final = 256  # half-open links; strangers get half of them
HANDSHAKES_PER_NETWORK_MAX: Final = 8  # half-open links of one IPv4 address or IPv6 /64
HANDSHAKES_PER_MIN: Final = 30  # begun by strangers of one IPv4 address or IPv6 /64
DIAL_SPREAD_MS: Final = 10  # between two peers dialled at the start: a handshake costs a millisecond
DIAL_CONNECT_S: Final = 10  # until a connection is there and upgraded
DIAL_S: Final = 30  # one round over all addresses of a peer
DIALBACK_S: Final = 60  # between two proofs of reachability for one peer
LINK_KEEP_S: Final = (
    30 * 24 * 3600
)  # a known peer linked within this time is dialled at the start and when its link is lost
LINK_AGE_S: Final = 24 * 3600  # then a link is made anew, with new keys
STRANGERS_MAX: Final = 64  # links of nodes that nobody here knows, all together
STRANGER_IDLE_S: Final = 60  # such a link that carries nothing is closed
BLOCKED_RETRY_S: Final = 24 * 3600  # what a blocked node is told
CLOCK_SKEW_WARN_S: Final = 60  # a clock that differs by more is shown to the admin
QUARANTINE_S: Final = 30 * 24 * 3600  # refused items are kept for inquiry
REFUSALS_PER_PEER_MAX: Final = 1_000  # posts of one peer whose refusal a hub remembers
REFUSAL_LIFE_S: Final = 30 * 24 * 3600  # as long as an outbox may hold the post
OUTBOX_ROWS_MAX: Final = 50_000  # waiting for one peer: a month of holiday
OUTBOX_BYTES_MAX: Final = 256 * 1024 * 1024  # waiting for one peer
OUTBOX_AGE_S_MAX: Final = 30 * 24 * 3600  # then what waits is given up and its author told

# --- calls (docs/spec/media.md) -------------------------------------------------------------------------------
CALL_TARGETS_MAX: Final = 32  # people rung at once
CALL_TRACKS_MAX: Final = 4  # of one seat: microphone, camera, screen and its sound
CALL_WISHES_MAX: Final = 160  # every track of every seat
CALL_INVITED_MAX: Final = 64  # people called whose answer the roster still says
CALL_UNREACHABLE_S: Final = 15  # none of somebody's devices rang by then
CALL_RING_S: Final = 45  # from the call on: nobody answered
CALL_CONNECT_S: Final = 15  # from the answer until the first media
CALL_RECONNECT_S: Final = 30  # a seat without socket or media is kept this long
CALL_LISTENER_S: Final = 5  # a device that offered no media by then only listens
CALL_REACH_S: Final = 5  # for a link to the node that keeps a call; people wait for it
CALL_EMPTY_S: Final = 60  # a group call without anybody ends then
CALL_REENTRY_S: Final = 30  # who left this short ago is not rung again
CALL_GONE_MAX: Final = 32  # seats that left, whose reason the roster still says
CALL_PARTICIPANTS: Final = 32  # default of a live setting
CALL_PARTICIPANTS_MAX: Final = 40  # what an admin may allow: the relay takes no more, and the roster fits a whisper
CALL_CAMERAS: Final = 8  # seats that send video; default of a live setting
CALL_UP_KBPS: Final = 6_000  # of one device; default of a live setting
CALL_UP_KBPS_MAX: Final = 6_000  # what an admin may allow: the relay takes no more of one transport
CALL_HOURS_MAX: Final = 7 * 24  # what an admin may allow
CALL_HOURS: Final = 24  # length of a call; default of a live setting
CALLS_PER_NODE_MAX: Final = 50  # begun by people of one other node and kept here
CALLS_MAX: Final = 500  # that one node keeps; each costs a few KB
CALL_REPEAT_S: Final = 5  # state of a call is said again to other nodes: a lost whisper heals
CALL_TELL_EVERY_S: Final = 0.1  # changes of a call are gathered this long: whoever toggles a flag makes no storm
CALL_BYSTANDERS: Final = 100  # devices of a room beyond which those outside of the call see its changes less often
CALL_BYSTANDERS_PER_S: Final = 1_000  # rosters a second to them, of one call: 4 MB/s
CALL_SILENT_S: Final = 16  # a node that said nothing of its seats this long counts as away: three repeats
CALL_FORGOTTEN_S: Final = 60  # a call of another node that is not heard of is forgotten by those who are not in it
CALL_VERSIONS_AHEAD: Final = 1_000_000  # so much newer the word of whoever stood in for a focus may be: a day's changes
CALL_START_BACK: Final = 50_000  # entries of a log among which the beginning of a call is looked for: some ms
CALL_STARTS_MAX: Final = 64  # calls of one person that are looked at for it
CALL_HALF_BYTES_MAX: Final = 4_096  # half of a pipe between two relays
CALLS_PER_MIN: Final = 6  # of one account
CALL_FRAMES_PER_S: Final = 30  # of one device
CALL_ASKS_PER_S: Final = 20  # requests about calls, of one node
SDP_BYTES_MAX: Final = 64 * 1024

# --- forwarding of media (docs/spec/media.md) ---
RING_PACKETS: Final = 1_024  # of one layer, shared by all who get it: one to two seconds of video; a power of two
MEDIA_SSRCS_MAX: Final = 16  # of one device: three layers and their repairs of two video tracks, and two of audio
LAYERS_MAX: Final = 3  # of one track: quarter, half, whole
RTCP_PACKETS_MAX: Final = 32  # in one compound packet; browsers send at most eight
NACK_SEQS_MAX: Final = 272  # numbers asked for in one packet: sixteen items of seventeen
NACK_WAIT_S: Final = 0.010  # a packet that is merely late arrives by then
NACK_TRIES_MAX: Final = 10  # then only a key frame helps
NACK_MISSING_MAX: Final = 64  # of one layer at once; a longer gap is answered by a key frame
NACK_GAP_S_MIN: Final = 0.020  # between two requests for one packet, where the round trip is shorter
RESENDS_PER_S: Final = 1_000  # to one subscriber; repairs of a broken line never outweigh its media
KEY_FRAME_GAP_S: Final = 0.5  # between two key frame requests for one layer
REPORT_S: Final = 1.0  # receiver reports and REMB to who sends
REMB_BPS_START: Final = 600_000  # believed to fit before anything was measured
REMB_BPS_MIN: Final = 80_000  # a voice and a little more
REMB_BPS_MAX: Final = 6_000_000  # of one device's uplink: three layers of a camera and a shared screen
AUDIO_ONLY_BPS: Final = 80_000  # below this there is no room for video
LAYER_UP_S: Final = 5.0  # a better layer has to fit this long before it is tried
LAYER_UP_HEADROOM: Final = 1.15  # and so much more than it needs
LAYER_IDLE_S: Final = 5.0  # a layer nobody wanted this long is not sent
LAYER_LOST_S: Final = 2.0  # a layer that was not heard of this long is not there
VIDEOS_SHOWN_MAX: Final = 8  # other people's cameras sent to one device: the last who spoke
VOICES_ALL_MAX: Final = 12  # seats up to which everybody's voice is forwarded
VOICES_MAX: Final = 4  # the loudest, in larger calls
SPEAKER_WINDOW_S: Final = 0.3  # levels of this time are judged by their median
SPEAKER_HOLD_S: Final = 1.5  # a pause between two words
SPEAKER_ABOVE_DB: Final = 10  # over the noise of the same microphone
SPEAKERS_EVERY_S: Final = 0.25  # at most so often
SPEAKERS_SHOWN_MAX: Final = 4
OFFER_EVERY_S: Final = 0.3  # changes of what a device gets are gathered this long
QUALITY_EVERY_S: Final = 3.0
SEATS_PER_CALL_MAX: Final = 40  # eight who show themselves and thirty-two who listen

# --- the relay of media: one worker ---------------------------------------------------------------------------
MEDIA_PEERS_MAX: Final = 256  # seats; each has two transports
MEDIA_BATCH: Final = 64  # datagrams of one system call
MEDIA_SLOT_BYTES: Final = 2_048  # room for a datagram, its tag and a longer header
MEDIA_DATAGRAM_BYTES_MAX: Final = 1_500  # longer ones were fragmented, and nobody sends them
MEDIA_BUFFER_BYTES: Final = 4 * 1024 * 1024  # of the socket; at 212 KB bursts of 3,000 packets/s are lost
MEDIA_PACKETS_PER_S: Final = 2_000  # RTP of one transport
MEDIA_BYTES_PER_S: Final = 750_000  # the same: 6 Mbit/s
MEDIA_RTCP_PER_S: Final = 100  # of one transport
MEDIA_CHECKS_PER_S: Final = 100  # STUN and DTLS of one transport; a browser checks every 50 ms at most
MEDIA_STRANGERS_PER_S: Final = 60  # STUN of one IPv4 address or IPv6 /64 that proved nothing yet
MEDIA_STRANGERS_ALL_PER_S: Final = 2_000  # of all of them; each costs 10 µs
MEDIA_CONSENT_S: Final = 30  # an address is proven this long by a check (RFC 7675)
MEDIA_SOURCES_MAX: Final = 8  # proven addresses of one transport: Wi-Fi, mobile, two families, NAT or not
MEDIA_TRANSACTIONS_MAX: Final = 64  # checks remembered against replay; three seconds of the quickest browser
MEDIA_HANDSHAKES_MAX: Final = 64  # DTLS, half-open
MEDIA_HANDSHAKES_PER_S: Final = 8  # DTLS, begun from one address
MEDIA_HANDSHAKE_S: Final = 15  # for all of it; a retransmission comes after 1, 2 and 4 s
MEDIA_FLIGHT_MAX: Final = 16  # DTLS datagrams that wait to be read; a flight has three
MEDIA_FRAME_BYTES_MAX: Final = 1024 * 1024  # between node and worker: a report of every call, or an SDP
MEDIA_IDLE_S: Final = 300  # a worker without calls ends then; the next call starts one in a second
MEDIA_START_S: Final = 20  # until a worker serves; slow disks take 3 s to load the libraries
MEDIA_ANSWER_S: Final = 10  # a question to a worker; it answers in milliseconds
MEDIA_WORKERS_MAX: Final = 16  # processes, one a core
MEDIA_STREAM_PROOF_S: Final = 10  # TCP: a connection that proved nothing by then is closed
MEDIA_STREAMS_WAITING_MAX: Final = 256  # TCP: connections whose first packet is not there yet
MEDIA_STREAM_BUFFER_BYTES: Final = 256 * 1024  # TCP: half a second of the best picture; what comes beyond is dropped
MEDIA_CANDIDATES_MAX: Final = 8  # addresses that a device tries by UDP; each costs it a check every 50 ms
MEDIA_TCP_CANDIDATES_MAX: Final = 4  # the same by TCP

# --- pipes between the relays of two nodes (docs/spec/media.md) ---
PIPE_CANDIDATES_MAX: Final = 16  # addresses of one half
PIPE_PATHS_MAX: Final = 24  # addresses of the other side that are checked: its candidates and where it came from
PIPE_PACE_S: Final = 0.05  # between two checks of one pipe
PIPE_KEEPALIVE_S: Final = 5.0  # a way that answers is checked again after this; keeps the mapping of a NAT, too
PIPE_RETRY_S: Final = 0.5  # a check without an answer is repeated after this; doubles up to the keep-alive
PIPE_FAILURES_MAX: Final = 3  # checks without an answer, after which another way is taken if one answers
PIPE_SSRCS_MAX: Final = 1_024  # of one pipe at a time: four tracks of forty seats, their layers and repairs
PIPE_PACKETS_PER_S: Final = 12_000  # RTP of one pipe: eight cameras with all layers and forty voices
PIPE_BYTES_PER_S: Final = 8_000_000  # the same
PIPE_RTCP_PER_S: Final = 500  # of one pipe
PIPE_SAID_BYTES_MAX: Final = 1_100  # of one datagram that says which stream is what
PIPE_SAID_LOST_S: Final = 6.0  # a track that was not said this long has ended
PIPE_ALIAS_S: Final = (
    10.0  # a stream that goes on under new keys within this keeps its numbers: less than 2^15 packets are missing
)

# --- lifecycle --------------------------------------------------------------------------------------------
RESTART_DELAY_S_MIN: Final = 1  # a service that failed starts again after this; doubles at each failure
RESTART_DELAY_S_MAX: Final = 60  # and running this long makes it healthy again
SERVICE_STOP_S: Final = 10  # a service that takes longer to stop is named in the log

# --- signed records ---------------------------------------------------------------------------------------
RECORD_BYTES_MAX: Final = 1_000  # fits a datagram with the rest of a DHT message
RECORD_BODY_BYTES_MAX: Final = 512
RECORD_ROTATIONS_MAX: Final = 3  # of the chain, except in the `id` record, which has all six
RECORD_ADDRESSES_MAX: Final = 8  # two families, a few interfaces
RECORD_RELAYS_MAX: Final = 3
RECORD_VERSIONS_MAX: Final = 8
LOC_LIFE_S: Final = 42 * 3600  # republished hourly; leaves 6 h to wrong clocks
LOC_LIFE_S_MAX: Final = 48 * 3600
ID_LIFE_S: Final = 29 * 24 * 3600  # `id` and transfer; leaves a day to wrong clocks
ID_LIFE_S_MAX: Final = 30 * 24 * 3600
ID_RECORDS_EVERY_S: Final = 28 * 24 * 3600  # a root signs them in advance; each is published this long
ID_RECORDS_MAX: Final = 27  # as long as the certificate that is signed with them
REVOKE_LIFE_S: Final = 3_652 * 24 * 3600  # ten years; who pinned the node keeps it for ever
RECORDS_REMEMBERED_MAX: Final = 1_024  # verified ones whose signatures are not checked again: 2 MiB
RETIRED_CERTS_MAX: Final = 256  # earlier certificates of the own op key, which old signatures are checked with

# --- finding nodes ----------------------------------------------------------------------------------------
URL_CHARS_MAX: Final = 2_048  # of a target that somebody else named
NAME_ADDRESSES_MAX: Final = 16  # of one host name; more is no home and no honest server
DIAL_STAGGER_MS: Final = 250  # between two addresses of one node (RFC 8305 section 5)
LAN_WAIT_MS: Final = 500  # a look-up waits this long for neighbours to answer
WELL_KNOWN_BYTES_MAX: Final = 8 * 1024  # a record has at most 1,000 bytes
WELL_KNOWN_S: Final = 5
TXT_BYTES_MAX: Final = 255  # v, id and s need 90
TXT_LOOKUP_S: Final = 5
GOSSIP_PEERS_MAX: Final = 8  # contacts asked for one record; each answer proves itself
GOSSIP_S: Final = 5
FOUND_KEPT_S: Final = 600  # an answer of a source is used again for this long
FOUND_KEPT_MAX: Final = 1_024  # nodes whose answers are kept
SEARCHES_MAX: Final = 64  # look-ups at once; each has a dozen packets in flight
LAN_ENTRIES_MAX: Final = 256  # neighbours remembered; a LAN with more nodes than that is a flood
LAN_CLAIMS_MAX: Final = 4  # instances that say they are the same node: the true one among a few liars
LAN_ADDRESSES_MAX: Final = 8  # of one neighbour, and of this machine
LAN_TXT_BYTES_MAX: Final = 256  # v, id and seq need 90
LAN_EXPIRY_S: Final = 120  # a neighbour that was not heard from; goodbyes get lost
LAN_REFRESH_S: Final = 45  # an older entry is asked for again: two lost packets do no harm
LAN_GOODBYE_S: Final = 5  # a goodbye may be forged: whoever answers within this time, in which it is asked twice, stays
LAN_WATCH_S: Final = 2  # the table is looked through and the machine's own addresses are compared this often
PORTMAP_LEASE_S: Final = 3_600  # renewed at half, and sooner:
PORTMAP_WATCH_S: Final = 300  # a router that started anew has forgotten the mapping, and has it again after this time
PORTMAP_RENEW_S_MIN: Final = 15  # however short the lease that a router grants
SSDP_S: Final = 3  # routers answer within this time
PORTMAP_SEARCH_S: Final = 8  # the search by SSDP, and a slow router that describes itself
PORTMAP_ANSWER_S: Final = 20  # for one mapping; daemons take more than 2 s
PORTMAP_AGAIN_S: Final = 30  # a mapping that ended is looked for again; doubles up to
PORTMAP_RETRY_S: Final = 600  # which is also when a network without a mapping router is asked again
PORTMAP_GOODBYE_S: Final = 2  # to take mappings back at the end
UPNP_BYTES_MAX: Final = 256 * 1024  # descriptions of routers are 10 to 60 KiB
DIALBACKS_NEEDED: Final = 2  # unrelated peers that reached an address before it is published
DIALBACK_KEPT_S: Final = 24 * 3600  # a confirmation is asked for again
DIALBACK_ASK_S: Final = 120  # between two questions to one peer, which answers once a minute
REACHABILITY_CHECK_S: Final = 60  # between two rounds of questions to peers
PUBLISH_DEBOUNCE_S: Final = 30  # changes of address are gathered this long
PUBLISH_EVERY_S: Final = 3_600  # a record is published anew

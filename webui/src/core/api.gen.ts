/** Structs of the HTTP API, one interface for each struct of node/wire/api/, under the same name. */
// Generated file; `make api-types` writes it anew.

/** Done; nothing to tell. */
export type Empty = Record<string, never>;

/** A refusal. `id` can be quoted to the admin. */
export interface Problem {
  code: string;
  text: string;
  detail: Record<string, string | number | boolean | null>;
  id: string;
}

/** Body of every answer with a status of 400 or more. */
export interface Failure {
  error: Problem;
}

/** What anybody may know. */
export interface NodeInfo {
  name: string;
  domain: string;
  node: string;
  version: string;
  registration: 'closed' | 'invite' | 'open';
  setup: 'done' | 'owner_needed' | 'phrase';
}

/** `token` is the base64url text of the 16 bytes in the link. */
export interface InspectInvite {
  token: string;
}

/** What somebody who holds a link may see before joining. */
export interface RoomPreview {
  room: string;
  name: string;
  topic: string;
  members: number;
}

/** `kind` is account or room; `expires_ms` 0 = never. */
export interface InviteInfo {
  kind: 'account' | 'reset' | 'room';
  node_name: string;
  role: string;
  expires_ms: number;
  uses_left: number;
  local: string;
  room: RoomPreview | null;
}

/** Opens an account. `token` of an account invite or of a room link that may onboard. */
export interface Register {
  local: string;
  name?: string;
  password: string;
  token?: string;
  lang?: '' | 'en' | 'zh';
  device_name?: string;
  mode?: 'cookie' | 'token';
}

/** `mode` token gives the session token in the body (bots, apps) instead of a cookie (browsers). With `end_oldest` the device that was away longest is signed out when there are ten. */
export interface Login {
  local: string;
  password: string;
  device_name?: string;
  mode?: 'cookie' | 'token';
  end_oldest?: boolean;
}

/** Sets a new password with an admin's one-time token; ends all sessions of the account. */
export interface ResetPassword {
  token: string;
  password: string;
}

/** The signed-in account. */
export interface Me {
  user: string;
  local: string;
  name: string;
  role: string;
  lang: string;
  device: string;
  node: string;
  domain: string;
  setup: 'done' | 'owner_needed' | 'phrase';
}

/** `token` only with mode token; shown once. */
export interface Session {
  me: Me;
  token: string;
}

/** A field left out stays. */
export interface ChangeMe {
  name?: string | null;
  lang?: '' | 'en' | 'zh' | null;
}

/** Ends the other sessions if asked. */
export interface ChangePassword {
  old: string;
  new: string;
  end_others?: boolean;
}

/** A signed-in device; `address` is shortened. */
export interface Device {
  id: string;
  name: string;
  client: string;
  address: string;
  created_ms: number;
  seen_ms: number;
  current: boolean;
  online: boolean;
}

/** All devices of the account. */
export interface Devices {
  devices: Device[];
}

/** Renames a device. */
export interface ChangeDevice {
  name: string;
}

/** Somebody, as others see them. */
export interface Person {
  user: string;
  local: string;
  name: string;
}

/** A page of the directory; `after` asks for the next one, empty = the end. */
export interface People {
  people: Person[];
  after: string;
}

/** Somebody on another node. `state`: asked (by us), asking (they ask, with `text`), contact, ignored, blocked; `room` is the direct chat, which exists once both agreed. */
export interface Contact {
  person: Person;
  address: string;
  state: 'asked' | 'asking' | 'blocked' | 'contact' | 'ignored';
  text: string;
  at_ms: number;
  room: string;
}

/** All of them, newest first. */
export interface Contacts {
  contacts: Contact[];
}

/** An address like ``alice@casa.example``, a key address, a canonical user id, or an invitation link. */
export interface Meet {
  address: string;
}

/** What an address or link leads to. `hint` is a claim of the link's maker; `home`: it is this node itself. */
export interface Introduction {
  kind: 'account' | 'person' | 'room';
  node: string;
  home: boolean;
  user: string;
  address: string;
  room: string;
  hint: string;
}

/** Who is asked, and a few words for them. */
export interface AskContact {
  address: string;
  text?: string;
}

/** A link into a chat; `client_id` makes a repeat harmless. */
export interface JoinElsewhere {
  link: string;
  client_id: string;
}

/** Another node. Times are unix ms, 0 for never; `path` is how the open link came about; `refused` items of it are in quarantine; `safety` are twelve words to compare with its admin, only when a single node is asked for; `dial_cause` is one word for why the last attempt failed, empty when it did not (`services.causes.Cause`), `dial_error` the text. */
export interface Peer {
  node: string;
  domain: string;
  domain_state: string;
  policy: 'allow' | 'block' | 'open';
  state: 'dialling' | 'linked' | 'offline';
  path: string;
  seen_ms: number;
  rtt_ms: number | null;
  skew_ms: number;
  queue_rows: number;
  queue_bytes: number;
  under_way: number;
  refused: number;
  rotations: number;
  incarnation: number;
  dialled_ms: number;
  dial_cause: string;
  dial_error: string;
  addresses: string[];
  safety: string;
}

/** All of them. */
export interface Peers {
  peers: Peer[];
}

/** ``open``: as everybody; ``allow``: also where only allowed nodes are talked to; ``block``: no link at all. */
export interface ChangePeer {
  policy: 'allow' | 'block' | 'open';
}

/** One round trip over the open link. */
export interface PingPeer {
  rtt_ms: number;
}

/** What a source of addresses said (`url` is empty), or what happened at an address. `fine` is false when it led nowhere; `cause` then is one word for why an address failed. */
export interface TraceStep {
  source: string;
  url: string;
  cause: string;
  text: string;
  fine: boolean;
  at_ms: number;
  took_ms: number;
}

/** How a node is looked for; `node` is empty when nobody says which one is meant. */
export interface Trace {
  node: string;
  steps: TraceStep[];
}

/** How this node looks from outside. `mapping` is ``off``, the protocol that a router granted a port by, or empty; `txt` and `well_known` are what the domain should show. */
export interface Reach {
  standing: 'cgnat' | 'no_https' | 'private' | 'public' | 'unproved';
  port: number;
  published: string[];
  unproved: string[];
  mapping: string;
  outside: string;
  mapping_problem: string;
  domain: string;
  txt: string;
  well_known: string;
}

/** Whether a peer reached this node at the address that its link comes from. */
export interface CallBack {
  node: string;
  reached: boolean;
  code: string;
  text: string;
}

/** One for each linked peer that was asked. */
export interface CallBacks {
  calls: CallBack[];
}

/** A node in the local network; the name is its domain when that was proved, else its id. */
export interface NearbyNode {
  node: string;
  name: string;
  addresses: string[];
}

/** Nodes heard of in the last two minutes. */
export interface Nearby {
  nodes: NearbyNode[];
}

/** The group that goes on. */
export interface Successor {
  room: string;
}

/** A room as one member's list shows it. */
export interface Room {
  room: string;
  kind: 'direct' | 'group';
  name: string;
  topic: string;
  hub: string;
  peer: Person | null;
  role: string;
  state: 'invited' | 'left' | 'member';
  muted_all: boolean;
  muted_until_ms: number;
  recall_window_s: number;
  edit_window_s: number;
  calls: 'admins' | 'everybody' | 'nobody';
  members: number;
  joined_idx: number;
  head_idx: number;
  read_idx: number;
  unread: number;
  mentions: number;
  can: string[];
}

/** All rooms of the account. */
export interface Rooms {
  rooms: Room[];
}

/** A group; `guests` are invited. `client_id` (22 characters of base64url, a UUIDv7) makes a retry harmless. */
export interface CreateRoom {
  name: string;
  topic?: string;
  guests?: string[];
  client_id: string;
}

/** The direct chat with somebody; exists from the first request on. */
export interface OpenDirect {
  user: string;
}

/** One member with receipts (0 in rooms above 200 members). */
export interface Member {
  user: string;
  local: string;
  name: string;
  role: string;
  joined_ms: number;
  muted_until_ms: number;
  delivered_idx: number;
  read_idx: number;
  read_ms: number;
  online: boolean;
}

/** An open invitation. */
export interface Guest {
  user: string;
  local: string;
  name: string;
  by: string;
  at_ms: number;
}

/** A ban; `until_ms` 0 = for ever. */
export interface Banned {
  user: string;
  local: string;
  name: string;
  by: string;
  until_ms: number;
  reason: string;
}

/** A node whose people are kept out. */
export interface BannedNode {
  node: string;
  by: string;
  reason: string;
}

/** `banned` and `nodes_banned` are filled for those who may unban. */
export interface Members {
  members: Member[];
  invited: Guest[];
  banned: Banned[];
  nodes_banned: BannedNode[];
}

/** Any kind of event; `body` has the fields of node/core/content.py, ids in it as text. */
export interface PostEvent {
  client_id: string;
  kind: string;
  body: Record<string, unknown>;
}

/** The event is on disk at `idx`. */
export interface Posted {
  room: string;
  idx: number;
  seq: number;
  event_id: string;
  at_ms: number;
}

/** One entry of a log with its present state; `body` is null once erased. */
export interface Entry {
  idx: number;
  seq: number;
  at_ms: number;
  event_id: string;
  author: string;
  device: string;
  kind: string;
  body: Record<string, unknown> | null;
  edits: number;
  edited: Record<string, unknown> | null;
  erased: string;
  erased_by: string;
  reason: string;
  reactions: Record<string, string[]>;
}

/** In rising idx. */
export interface History {
  entries: Entry[];
  more: boolean;
}

/** Marks a room as read. */
export interface ReadUpTo {
  idx: number;
}

/** `expires_s` 0 = never. */
export interface MakeLink {
  expires_s?: number;
  uses?: number;
  onboards?: boolean;
}

/** `token` and `url` are filled only in the answer that makes it. */
export interface Link {
  id: string;
  url: string;
  token: string;
  made_by: string;
  created_ms: number;
  expires_ms: number;
  uses: number;
  uses_max: number;
  role: string;
}

/** Live links, newest first. */
export interface Links {
  links: Link[];
}

/** Enters a room. */
export interface JoinByLink {
  token: string;
  client_id: string;
}

/** The recovery phrase, until its words were typed back. `ask` are the 1-based places to confirm. */
export interface Phrase {
  words: string[];
  ask: number[];
}

/** `words` maps the asked places to words. */
export interface ConfirmSetup {
  words: Record<string, string>;
  node_name?: string | null;
  registration?: 'closed' | 'invite' | 'open' | null;
}

/** An account invite. */
export interface MakeInvite {
  expires_s?: number;
  uses?: number;
  role?: 'bot' | 'node_admin' | 'user';
}

/** An account as the admin sees it. */
export interface Account {
  user: string;
  local: string;
  name: string;
  role: string;
  created_ms: number;
  seen_ms: number;
  devices: number;
  frozen: boolean;
}

/** A page; `after` empty = the end. */
export interface Accounts {
  accounts: Account[];
  after: string;
}

/** A field left out stays. */
export interface ChangeAccount {
  role?: 'node_admin' | 'user' | null;
  frozen?: boolean | null;
}

/** Live settings with their present values. */
export interface NodeSettings {
  name: string;
  domain: string;
  registration: 'closed' | 'invite' | 'open';
  circle: 'allowed' | 'open';
  rates: Record<string, number>;
  calls: Record<string, number>;
}

/** A field left out stays; `rates` and `calls` change the named ones only. */
export interface ChangeSettings {
  name?: string | null;
  domain?: string | null;
  registration?: 'closed' | 'invite' | 'open' | null;
  circle?: 'allowed' | 'open' | null;
  rates?: Record<string, number> | null;
  calls?: Record<string, number> | null;
}

/** One device in a call. What the relay knows of its media is 0 (loss and round trip: -1) for seats of other nodes. */
export interface AdminSeat {
  seat: string;
  user: string;
  here: boolean;
  state: 'connecting' | 'live' | 'reconnecting';
  mic: boolean;
  camera: boolean;
  screen: boolean;
  muted: boolean;
  joined_ms: number;
  path: string;
  legs: number;
  up_kbps: number;
  down_kbps: number;
  up_loss: number;
  down_loss: number;
  rtt_ms: number;
}

/** A call that goes on. `focus` is the node that keeps it, `pipes` are nodes whose relays are joined to ours; rates are kbit/s. */
export interface AdminCall {
  call: string;
  room: string;
  kind: 'direct' | 'group';
  media: 'audio' | 'video';
  by: string;
  state: 'live' | 'ringing';
  started_ms: number;
  focus: string;
  pipes: string[];
  seats: AdminSeat[];
  in_kbps: number;
  out_kbps: number;
}

/** Calls and the relay. `level` 2: fast path, 1: portable path, 0: no calls, because of `reason`; `cpu` is the share of one core; loss is per mille. */
export interface AdminCalls {
  level: number;
  reason: string;
  port: number;
  cpu: number;
  packets_in: number;
  packets_out: number;
  dropped: Record<string, number>;
  calls: AdminCall[];
}

/** `status` is ok or read_only; `reason` says why. */
export interface Health {
  status: 'ok' | 'read_only' | 'stopping';
  reason: string;
  version: string;
  uptime_s: number;
}

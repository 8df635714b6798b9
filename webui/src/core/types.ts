/** The client's own words for what it keeps: ids are text, times unix milliseconds, names as people read them. */

export type Body = Readonly<Record<string, unknown>>;

/** What later entries did to a message; the same fold as node/core/message.py. */
export interface Mark {
  readonly edits: number;
  readonly edited: Body | null;
  readonly erased: '' | 'recall' | 'redact';
  readonly erasedBy: string;
  readonly reason: string;
  readonly reactions: Readonly<Record<string, readonly string[]>>;
}

/** One entry of a room's log with its present state. */
export interface Entry {
  readonly room: string;
  readonly idx: number;
  readonly seq: number;
  readonly atMs: number;
  readonly id: string;
  readonly author: string;
  readonly device: string;
  readonly kind: string;
  readonly body: Body | null;
  readonly mark: Mark | null;
}

/** A room as the chat list shows it, true at feed position `asOf`. */
export interface Room {
  readonly room: string;
  readonly kind: string;
  readonly name: string;
  readonly topic: string;
  readonly peer: string;
  readonly role: string;
  readonly state: string;
  readonly invitedBy: string;
  readonly mutedAll: boolean;
  readonly mutedUntilMs: number;
  readonly recallWindowS: number;
  readonly editWindowS: number;
  readonly members: number;
  readonly joinedIdx: number;
  readonly headIdx: number;
  readonly readIdx: number;
  readonly unread: number;
  readonly mentions: number;
  readonly last: Entry | null;
  /** The node that orders the chat; other nodes with a member and how far they have it. */
  readonly hub: string;
  readonly nodes: readonly NodeMark[];
  readonly stableIdx: number;
  /** Why nothing more is taken from the hub: forked, invalid; else empty. */
  readonly trouble: string;
  /** An accepted invitation that waits for the hub. */
  readonly joining: boolean;
  /** Groups that go on with this one, each made by its owner because its node is gone. */
  readonly successors: readonly string[];
  /** Who may begin a call: everybody, admins, nobody. */
  readonly calls: string;
  readonly asOf: number;
}

/** Another node of a chat has it up to `idx`; `domain` is empty unless it was verified. */
export interface NodeMark {
  readonly node: string;
  readonly idx: number;
  readonly linked: boolean;
  readonly domain: string;
}

/** Marks of one member; they only grow. */
export interface Receipt {
  readonly room: string;
  readonly user: string;
  readonly deliveredIdx: number;
  readonly readIdx: number;
  readonly readMs: number;
}

/** The part of a room's log that is on this device: without holes from `lo` to `hi`; `start` = nothing older. */
export interface Range {
  readonly room: string;
  readonly lo: number;
  readonly hi: number;
  readonly start: boolean;
}

/** A post that waits in the outbox. `n` keeps the order. */
export interface Pending {
  readonly clientId: string;
  readonly n: number;
  readonly room: string;
  readonly kind: string;
  readonly body: Body;
  readonly atMs: number;
  readonly state: 'queued' | 'sending' | 'accepted' | 'failed';
  readonly code: string;
  readonly text: string;
  readonly detail: Detail;
  readonly id: string;
  /** Accepted by the own node; has no place until this other node gives it one. */
  readonly waits?: string;
}

/** Which node somebody lives on: the part of a user id that cannot be chosen. */
export const nodeOf = (user: string): string => user.slice(user.lastIndexOf('@') + 1);

export type Detail = Readonly<Record<string, string | number | boolean | null>>;

/** The node, or this client, says no. `code` is one of node/base/errors.py, or `offline`. */
export class Refusal extends Error {
  readonly code: string;
  readonly detail: Detail;
  readonly id: string;
  constructor(code: string, text: string, detail: Detail = {}, id = '') {
    super(text);
    this.code = code;
    this.detail = detail;
    this.id = id;
  }
}

export type Status = 'connecting' | 'online' | 'offline' | 'signed_out' | 'replaced';

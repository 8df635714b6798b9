/** The card of a chat from the HTTP API; what concerns other nodes comes with the feed's card. */
import type * as api from './api.gen.ts';
import type { Room } from './types.ts';

export function cardOf(room: api.Room, asOf: number): Room {
  return {
    room: room.room,
    kind: room.kind,
    name: room.name,
    topic: room.topic,
    peer: room.peer?.user ?? '',
    role: room.role,
    state: room.state,
    invitedBy: '',
    mutedAll: room.muted_all,
    mutedUntilMs: room.muted_until_ms,
    recallWindowS: room.recall_window_s,
    editWindowS: room.edit_window_s,
    members: room.members,
    joinedIdx: room.joined_idx,
    headIdx: room.head_idx,
    readIdx: room.read_idx,
    unread: room.unread,
    mentions: room.mentions,
    last: null,
    hub: room.hub,
    nodes: [],
    stableIdx: 0,
    trouble: '',
    joining: false,
    calls: room.calls,
    successors: [],
    asOf,
  };
}

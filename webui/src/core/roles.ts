/** Who may do what in a room: the table of node/core/roles.py, for showing only what would work. */
import type { Room } from './types.ts';

export type Capability =
  | 'read'
  | 'post'
  | 'react'
  | 'recall_own'
  | 'edit_own'
  | 'invite'
  | 'link'
  | 'kick'
  | 'mute'
  | 'redact'
  | 'rename'
  | 'topic'
  | 'mute_all'
  | 'settings'
  | 'role'
  | 'transfer'
  | 'leave'
  | 'mention_all'
  | 'call';

const READER: Capability[] = ['read', 'leave'];
const MEMBER: Capability[] = [...READER, 'post', 'react', 'recall_own', 'edit_own', 'invite', 'call'];
const ADMIN: Capability[] = [
  ...MEMBER,
  'link',
  'kick',
  'mute',
  'redact',
  'rename',
  'topic',
  'mute_all',
  'settings',
  'mention_all',
];
const OWNER: Capability[] = [...ADMIN, 'role', 'transfer'];
const GROUP: Readonly<Record<string, ReadonlySet<Capability>>> = {
  owner: new Set(OWNER),
  admin: new Set(ADMIN),
  member: new Set(MEMBER),
  visitor: new Set(READER),
  muted: new Set(READER),
};
const DIRECT: ReadonlySet<Capability> = new Set<Capability>([
  'read',
  'post',
  'react',
  'recall_own',
  'edit_own',
  'settings',
  'call',
]);
const RANK: Readonly<Record<string, number>> = { owner: 4, admin: 3, member: 2, visitor: 1, muted: 1 };

export const rank = (role: string): number => RANK[role] ?? 0;
export const outranks = (actor: string, target: string): boolean => rank(actor) > rank(target);

/** The role that counts now: a mute that ended gives the earlier role back. */
export const roleNow = (role: string, mutedUntilMs: number, nowMs: number): string =>
  role === 'muted' && mutedUntilMs > 0 && mutedUntilMs <= nowMs ? 'member' : role;

export function can(room: Room, need: Capability, nowMs: number): boolean {
  if (room.state !== 'member') return false;
  if (need === 'call' && room.calls === 'nobody') return false;
  if (room.kind === 'direct') return DIRECT.has(need);
  const role = roleNow(room.role, room.mutedUntilMs, nowMs);
  if (need === 'post' && room.mutedAll && rank(role) < 3) return false;
  if (need === 'call' && room.calls === 'admins' && rank(role) < 3) return false;
  return GROUP[role]?.has(need) ?? false;
}

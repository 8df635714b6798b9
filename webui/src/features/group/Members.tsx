/** Who is in the group, who is asked, who is kept out; and what the reader may do about each of them. */
import { useEffect, useState } from 'preact/hooks';
import type * as http from '../../core/api.ts';
import { can, outranks, roleNow } from '../../core/roles.ts';
import { type Body, nodeOf, type Room } from '../../core/types.ts';
import { type Key, momentOf, t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { go } from '../../routes.ts';
import { here } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Button, IconButton } from '../../ui/Button/Button.tsx';
import { Actions, Confirm, Dialog } from '../../ui/Dialog/Dialog.tsx';
import { Field, Select } from '../../ui/Field/Field.tsx';
import { below, Menu, type MenuItem, type Place } from '../../ui/Menu/Menu.tsx';
import { Problem, Skeleton } from '../../ui/Parts/Parts.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import { Domain, Where } from '../contacts/Domain.tsx';
import { startChat } from '../contacts/model.ts';
import { learn } from '../message/MessageMenu.tsx';
import shell from '../shell/Shell.module.css';
import s from './Details.module.css';

type Member = http.api.Member;
type Act = (kind: string, body: Body) => Promise<void>;
type Sanctions = 'mute' | 'kick' | 'ban' | 'ban_node' | 'transfer';
type Layer = { name: 'menu'; member: Member; at: Place } | { name: Sanctions; member: Member } | null;

export function Members({ room }: { room: Room }) {
  const { state } = here();
  const [list, setList] = useState<http.api.Members | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [layer, setLayer] = useState<Layer>(null);
  const load = () => {
    learn(room.room).then((answer) => {
      setError(null);
      setList(answer);
    }, setError);
  };
  useEffect(load, [room.room, room.asOf]);
  const act: Act = async (kind, body) => {
    try {
      await here().act(room.room, kind, body);
      load();
    } catch (problem) {
      toast(explain(problem).text);
    }
  };
  const now = Date.now();
  return (
    <>
      {can(room, 'invite', now) && (
        <Button icon="user-plus" look="primary" wide onClick={() => go(`/c/${room.room}/invite`)}>
          {t('group.invite')}
        </Button>
      )}
      <Problem error={error} retry={load} />
      {!list && !error && <Skeleton rows={4} />}
      {list && (
        <ul aria-label={t('group.members')}>
          {list.members.map((member) => (
            <MemberRow
              key={member.user}
              member={member}
              me={state.me}
              room={room}
              onMenu={(at) => setLayer({ name: 'menu', member, at })}
            />
          ))}
        </ul>
      )}
      {list && list.invited.length > 0 && <Invited list={list.invited} room={room} act={act} />}
      {list && list.banned.length > 0 && <Bans list={list.banned} act={act} />}
      {list && list.nodes_banned.length > 0 && <BannedNodes list={list.nodes_banned} act={act} />}
      {layer?.name === 'menu' && (
        <Menu
          label={t('group.member_menu', { name: layer.member.name })}
          at={layer.at}
          onClose={() => setLayer((now) => (now?.name === 'menu' ? null : now))}
          items={choices(room, layer.member, act, (name) => setLayer({ name, member: layer.member }))}
        />
      )}
      {layer && layer.name !== 'menu' && <Layered layer={layer} act={act} onClose={() => setLayer(null)} />}
    </>
  );
}

function MemberRow({
  member,
  me,
  room,
  onMenu,
}: {
  member: Member;
  me: string;
  room: Room;
  onMenu: (at: Place) => void;
}) {
  const role = roleNow(member.role, member.muted_until_ms, Date.now());
  const until =
    role === 'muted' && member.muted_until_ms > 0
      ? t('group.muted_until', { time: momentOf(member.muted_until_ms) })
      : '';
  const self = member.user === me;
  const remote = here().state.isRemote(member.user);
  const any = !self && room.state === 'member';
  return (
    <li class={s.member}>
      <Avatar id={member.user} name={member.name} size={40} presence={member.online ? 'online' : undefined} />
      <div>
        <b>{self ? t('group.self', { name: member.name }) : member.name}</b>
        <small>{until || (remote ? <Where user={member.user} /> : `@${member.local}`)}</small>
      </div>
      {role !== 'member' && (
        <span class={s.role} data-role={role}>
          {t(`role.${role}` as Key)}
        </span>
      )}
      {any && (
        <IconButton
          icon="ellipsis-vertical"
          label={t('group.member_menu', { name: member.name })}
          aria-haspopup="menu"
          onClick={(event: MouseEvent) => onMenu(below(event.currentTarget as Element))}
        />
      )}
    </li>
  );
}

/** Only what would work is offered; the node decides again. */
function choices(room: Room, member: Member, act: Act, open: (name: Sanctions) => void): MenuItem[] {
  const now = Date.now();
  const { user } = member;
  const role = roleNow(member.role, member.muted_until_ms, now);
  const above = outranks(room.role, role);
  const items: (MenuItem | false)[] = [
    { label: t('contacts.message'), icon: 'message-circle', run: () => void startChat(user) },
    can(room, 'role', now) &&
      role !== 'admin' && {
        label: t('group.make_admin'),
        icon: 'shield',
        run: () => void act('role', { user, role: 'admin' }),
      },
    can(room, 'role', now) &&
      role !== 'member' &&
      role !== 'muted' && {
        label: t('group.make_member'),
        icon: 'user',
        run: () => void act('role', { user, role: 'member' }),
      },
    can(room, 'role', now) &&
      role !== 'visitor' && {
        label: t('group.make_visitor'),
        icon: 'eye',
        run: () => void act('role', { user, role: 'visitor' }),
      },
    can(room, 'transfer', now) && { label: t('group.transfer'), icon: 'arrow-right-left', run: () => open('transfer') },
    can(room, 'mute', now) &&
      above &&
      role === 'muted' && { label: t('group.unmute'), icon: 'mic', run: () => void act('unmute', { user }) },
    can(room, 'mute', now) &&
      above &&
      role === 'member' && { label: t('group.mute'), icon: 'mic-off', run: () => open('mute') },
    can(room, 'kick', now) &&
      above && { label: t('group.kick'), icon: 'user-x', danger: true, run: () => open('kick') },
    can(room, 'kick', now) && above && { label: t('group.ban'), icon: 'ban', danger: true, run: () => open('ban') },
    can(room, 'kick', now) &&
      above &&
      here().state.isRemote(user) && {
        label: t('group.ban_node', { node: here().state.nodeName(nodeOf(user)) }),
        icon: 'globe',
        danger: true,
        run: () => open('ban_node'),
      },
  ];
  return items.filter((item) => item !== false);
}

const HOUR_MS = 3_600_000;
const SPANS = { '1': HOUR_MS, '24': 24 * HOUR_MS, '168': 168 * HOUR_MS, '0': 0 } as const;
type Span = keyof typeof SPANS;
const spans = (forever: Key): { value: Span; label: string }[] => [
  { value: '1', label: t('group.hours', { n: 1 }) },
  { value: '24', label: t('group.days', { n: 1 }) },
  { value: '168', label: t('group.days', { n: 7 }) },
  { value: '0', label: t(forever) },
];

function Layered({
  layer,
  act,
  onClose,
}: {
  layer: { name: Sanctions; member: Member };
  act: Act;
  onClose: () => void;
}) {
  const { user, name } = layer.member;
  if (layer.name === 'transfer') {
    return (
      <Confirm
        title={t('group.transfer')}
        text={t('group.transfer_text', { name })}
        action={t('group.transfer')}
        danger
        onClose={onClose}
        onConfirm={() => void act('transfer', { user })}
      />
    );
  }
  return <Sanction kind={layer.name} user={user} name={name} act={act} onClose={onClose} />;
}

function Sanction({
  kind,
  user,
  name,
  act,
  onClose,
}: {
  kind: Exclude<Sanctions, 'transfer'>;
  user: string;
  name: string;
  act: Act;
  onClose: () => void;
}) {
  const [span, setSpan] = useState<Span>(kind === 'mute' ? '1' : '0');
  const [reason, setReason] = useState('');
  const submit = (event: Event) => {
    event.preventDefault();
    onClose();
    const until = SPANS[span] ? { until_ms: Date.now() + SPANS[span] } : {};
    const why = reason.trim() ? { reason: reason.trim() } : {};
    if (kind === 'ban_node') {
      void act(kind, { node: nodeOf(user), ...why });
      return;
    }
    void act(
      kind,
      kind === 'mute' ? { user, ...until } : kind === 'ban' ? { user, ...until, ...why } : { user, ...why },
    );
  };
  return (
    <Dialog title={t(`group.${kind}_title`, { name, node: here().state.nodeName(nodeOf(user)) })} onClose={onClose}>
      <form onSubmit={submit} style={{ display: 'contents' }}>
        {kind === 'ban_node' && <p class={shell.muted}>{t('group.ban_node_text')}</p>}
        {(kind === 'mute' || kind === 'ban') && (
          <Select
            label={t('group.how_long')}
            value={span}
            onChange={setSpan}
            options={spans(kind === 'mute' ? 'group.until_unmuted' : 'group.for_ever')}
          />
        )}
        {kind !== 'mute' && <Field label={t('message.reason')} value={reason} onInput={setReason} maxLength={200} />}
        <Actions>
          <Button onClick={onClose}>{t('common.cancel')}</Button>
          <Button type="submit" look={kind === 'mute' ? 'primary' : 'danger'}>
            {t(kind === 'ban_node' ? 'group.ban_node_action' : `group.${kind}`)}
          </Button>
        </Actions>
      </form>
    </Dialog>
  );
}

function Invited({ list, room, act }: { list: readonly http.api.Guest[]; room: Room; act: Act }) {
  const { state } = here();
  return (
    <section>
      <h3 class={s.section}>{t('group.invited')}</h3>
      <ul>
        {list.map((guest) => (
          <li key={guest.user} class={s.member}>
            <Avatar id={guest.user} name={guest.name} size={40} />
            <div>
              <b>{guest.name}</b>
              <small>{t('group.invited_by', { name: state.nameOf(guest.by) })}</small>
            </div>
            <Domain user={guest.user} />
            {(guest.by === state.me || can(room, 'kick', Date.now())) && (
              <IconButton
                icon="x"
                label={t('group.uninvite', { name: guest.name })}
                onClick={() => void act('uninvite', { user: guest.user })}
              />
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function BannedNodes({ list, act }: { list: readonly http.api.BannedNode[]; act: Act }) {
  const { state } = here();
  return (
    <section>
      <h3 class={s.section}>{t('group.banned_nodes')}</h3>
      <ul>
        {list.map((ban) => (
          <li key={ban.node} class={s.member}>
            <div>
              <b>{state.nodeName(ban.node)}</b>
              {ban.reason && <small>{ban.reason}</small>}
            </div>
            <Button small onClick={() => void act('unban_node', { node: ban.node })}>
              {t('group.unban')}
            </Button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Bans({ list, act }: { list: readonly http.api.Banned[]; act: Act }) {
  return (
    <section>
      <h3 class={s.section}>{t('group.banned')}</h3>
      <ul>
        {list.map((ban) => (
          <li key={ban.user} class={s.member}>
            <Avatar id={ban.user} name={ban.name} size={40} />
            <div>
              <b>{ban.name}</b>
              <small>
                {ban.reason ||
                  (ban.until_ms ? t('group.until', { time: momentOf(ban.until_ms) }) : t('group.for_ever'))}
              </small>
            </div>
            <Button small onClick={() => void act('unban', { user: ban.user })}>
              {t('group.unban')}
            </Button>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** People: questions of strangers, people on other nodes, people of this node; and a card for each of them. */
import { lazy, Suspense } from 'preact/compat';
import { useState } from 'preact/hooks';
import type * as http from '../../core/api.ts';
import { localOf } from '../../core/store/state.ts';
import { t } from '../../i18n/index.ts';
import { back, go, route } from '../../routes.ts';
import { here, isAdmin } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Button, IconButton } from '../../ui/Button/Button.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { Empty, Problem, Skeleton } from '../../ui/Parts/Parts.tsx';
import shell from '../shell/Shell.module.css';
import { Where } from './Domain.tsx';
import { addressOf, contactsLike, isMe, startChat, useDirectory } from './model.ts';
import s from './Picker.module.css';
import { Profile } from './Profile.tsx';
import { RemoteCard } from './RemoteCard.tsx';
import { RequestCard } from './Request.tsx';

const AddContact = lazy(() => import('./AddContact.tsx'));
const MyLink = lazy(() => import('./MyLink.tsx'));

export default function Contacts() {
  const [query, setQuery] = useState('');
  const { state } = here();
  const { sub, dialog } = route.value;
  const requests = state.requests.value;
  const elsewhere = contactsLike(state, query);
  return (
    <>
      <aside class={shell.list} aria-label={t('nav.contacts')}>
        <header class={shell.head}>
          <h2>{t('nav.contacts')}</h2>
          <IconButton icon="qr-code" label={t('mylink.title')} onClick={() => go('/add/link')} />
          <IconButton icon="users-round" label={t('group.create')} onClick={() => go('/new')} />
          <IconButton icon="user-plus" label={t('add.title')} onClick={() => go('/add')} />
        </header>
        <search class={shell.search}>
          <Icon name="search" size={18} />
          <input
            type="search"
            aria-label={t('contacts.search')}
            placeholder={t('contacts.search')}
            value={query}
            onInput={(event) => setQuery(event.currentTarget.value)}
          />
        </search>
        <nav class={shell.scroll} aria-label={t('contacts.people')}>
          {requests.length > 0 && (
            <section aria-label={t('contacts.requests')}>
              <h3 class={s.section}>{t('contacts.requests')}</h3>
              {requests.map((contact) => (
                <RequestCard key={contact.person.user} contact={contact} />
              ))}
            </section>
          )}
          {(elsewhere.length > 0 || !query) && (
            <section aria-label={t('contacts.elsewhere')}>
              <h3 class={s.section}>{t('contacts.elsewhere')}</h3>
              {elsewhere.length === 0 && <NobodyElsewhere />}
              <ul class={s.people}>
                {elsewhere.map((contact) => (
                  <ElsewhereRow key={contact.person.user} contact={contact} current={sub === contact.person.user} />
                ))}
              </ul>
            </section>
          )}
          <Directory query={query} current={sub} />
        </nav>
      </aside>
      <main class={shell.main}>
        {sub?.includes('@') ? (
          <RemoteCard key={sub} user={sub} />
        ) : sub ? (
          <PersonCard local={sub} />
        ) : (
          <>
            <h1 class="visually-hidden">{t('nav.contacts')}</h1>
            <Empty icon="users" title={t('contacts.pick')} text={t('contacts.pick_text')} />
          </>
        )}
      </main>
      <Suspense fallback={null}>
        {dialog === 'add' && <AddContact onClose={() => back('/contacts')} />}
        {dialog === 'my-link' && <MyLink onClose={() => back('/contacts')} />}
      </Suspense>
    </>
  );
}

function NobodyElsewhere() {
  if (here().state.contacts.value === null)
    return here().away.value ? <p class={s.nobody}>{t('presence.unknown')}</p> : <Skeleton rows={1} />;
  return (
    <div class={s.nobody}>
      <p>{t('contacts.elsewhere_text')}</p>
      <Button small icon="user-plus" onClick={() => go('/add')}>
        {t('add.title')}
      </Button>
    </div>
  );
}

function ElsewhereRow({ contact, current }: { contact: http.api.Contact; current: boolean }) {
  const { state } = here();
  const { user, name } = contact.person;
  return (
    <li>
      <a
        class={s.person}
        href={`/contacts/${encodeURIComponent(user)}`}
        aria-current={current ? 'page' : undefined}
        data-dim={contact.state === 'ignored' || contact.state === 'blocked' ? 'yes' : undefined}
      >
        <Avatar
          id={user}
          name={name || localOf(user)}
          size={44}
          presence={contact.state === 'contact' ? state.presence.value.get(user) : undefined}
        />
        <span>
          <b>{name || localOf(user)}</b>
          <small>{contact.state === 'contact' ? <Where user={user} /> : t(`contacts_state.${contact.state}`)}</small>
        </span>
        {contact.state !== 'contact' && (
          <Icon
            name={contact.state === 'asked' ? 'hourglass' : contact.state === 'blocked' ? 'ban' : 'eye-off'}
            size={18}
          />
        )}
      </a>
    </li>
  );
}

function Directory({ query, current }: { query: string; current: string | undefined }) {
  const { people, error, more, again } = useDirectory(query);
  const { state } = here();
  const shown = people?.filter(({ user }) => !isMe(user));
  return (
    <section aria-label={t('contacts.here')}>
      <h3 class={s.section}>{t('contacts.here')}</h3>
      <Problem error={error} retry={again} />
      {!shown && !error && <Skeleton />}
      {shown?.length === 0 && (
        <Empty
          icon="users"
          title={t(query ? 'contacts.none_found' : 'contacts.alone')}
          text={query ? '' : t('contacts.alone_text')}
        >
          {!query && isAdmin.value && (
            <Button look="primary" icon="user-plus" onClick={() => go('/admin/invites')}>
              {t('group.invite')}
            </Button>
          )}
        </Empty>
      )}
      <ul class={s.people}>
        {shown?.map((person) => (
          <li key={person.user}>
            <a
              class={s.person}
              href={`/contacts/${encodeURIComponent(person.local)}`}
              aria-current={current === person.local ? 'page' : undefined}
            >
              <Avatar id={person.user} name={person.name} size={44} presence={state.presence.value.get(person.user)} />
              <span>
                <b>{person.name}</b>
                <small>{addressOf(person.local)}</small>
              </span>
            </a>
          </li>
        ))}
      </ul>
      {more && (
        <Button look="ghost" wide onClick={more}>
          {t('common.more')}
        </Button>
      )}
    </section>
  );
}

function PersonCard({ local }: { local: string }) {
  const { state } = here();
  const [busy, setBusy] = useState(false);
  const found = [...state.people.value].find(([user]) => localOf(user) === local && !state.isRemote(user));
  const user = found?.[0] ?? '';
  const name = found?.[1] || local;
  const presence = state.presence.value.get(user);
  const chat = async () => {
    setBusy(true);
    await startChat(user);
    setBusy(false);
  };
  return (
    <Profile user={user} name={name} presence={presence} home={<p>{addressOf(local)}</p>}>
      <div>
        <Button look="primary" icon="message-circle" busy={busy} disabled={!user} onClick={() => void chat()}>
          {t('contacts.message')}
        </Button>
      </div>
    </Profile>
  );
}

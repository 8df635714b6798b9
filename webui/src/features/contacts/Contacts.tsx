/** The people of the node, and a card for each of them. */
import { useState } from 'preact/hooks';
import { localOf } from '../../core/store/state.ts';
import { t } from '../../i18n/index.ts';
import { go, route } from '../../routes.ts';
import { here } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Button, IconButton } from '../../ui/Button/Button.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { Empty, Problem, Skeleton } from '../../ui/Parts/Parts.tsx';
import { presenceText } from '../chats/model.ts';
import shell from '../shell/Shell.module.css';
import { addressOf, isMe, startChat, useDirectory } from './model.ts';
import s from './Picker.module.css';

export default function Contacts() {
  const [query, setQuery] = useState('');
  const { people, error, more, again } = useDirectory(query);
  const { state } = here();
  const { sub } = route.value;
  const shown = people?.filter(({ user }) => !isMe(user));
  return (
    <>
      <aside class={shell.list} aria-label={t('nav.contacts')}>
        <header class={shell.head}>
          <h2>{t('nav.contacts')}</h2>
          <IconButton icon="users-round" label={t('group.create')} onClick={() => go('/new')} />
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
          <Problem error={error} retry={again} />
          {!shown && !error && <Skeleton />}
          {shown?.length === 0 && (
            <Empty
              icon="users"
              title={t(query ? 'contacts.none_found' : 'contacts.alone')}
              text={query ? '' : t('contacts.alone_text')}
            />
          )}
          <ul class={s.people} style={{ padding: '2px 8px' }}>
            {shown?.map((person) => (
              <li key={person.user}>
                <a
                  class={s.person}
                  href={`/contacts/${encodeURIComponent(person.local)}`}
                  aria-current={sub === person.local ? 'page' : undefined}
                >
                  <Avatar
                    id={person.user}
                    name={person.name}
                    size={44}
                    presence={state.presence.value.get(person.user)}
                  />
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
        </nav>
      </aside>
      <main class={shell.main}>
        {sub ? (
          <PersonCard local={sub} />
        ) : (
          <>
            <h1 class="visually-hidden">{t('nav.contacts')}</h1>
            <Empty icon="users" title={t('contacts.pick')} text={t('contacts.pick_text')} />
          </>
        )}
      </main>
    </>
  );
}

function PersonCard({ local }: { local: string }) {
  const { state } = here();
  const [busy, setBusy] = useState(false);
  const found = [...state.people.value].find(([user]) => localOf(user) === local);
  const user = found?.[0] ?? '';
  const name = found?.[1] || local;
  const presence = state.presence.value.get(user);
  const chat = async () => {
    setBusy(true);
    await startChat(user);
    setBusy(false);
  };
  return (
    <div class={shell.scroll}>
      <header class={shell.head}>
        <IconButton
          class={shell.backs ?? ''}
          icon="arrow-left"
          label={t('common.back')}
          onClick={() => go('/contacts')}
        />
      </header>
      <section class={s.profile} aria-label={name}>
        <Avatar id={user} name={name} size={104} presence={presence} />
        <h1>{name}</h1>
        <p>{addressOf(local)}</p>
        {presence && <p>{presenceText(presence)}</p>}
        <div>
          <Button look="primary" icon="message-circle" busy={busy} disabled={!user} onClick={() => void chat()}>
            {t('contacts.message')}
          </Button>
        </div>
      </section>
    </div>
  );
}

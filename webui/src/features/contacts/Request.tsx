/** Somebody on another node asks whether they may write. Nothing was shown of them before, and a no is never sent. */
import { useState } from 'preact/hooks';
import type * as http from '../../core/api.ts';
import { localOf } from '../../core/store/state.ts';
import { briefOf, t } from '../../i18n/index.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Button } from '../../ui/Button/Button.tsx';
import { Where } from './Domain.tsx';
import { answer, startChat } from './model.ts';
import s from './Request.module.css';

export function RequestCard({ contact }: { contact: http.api.Contact }) {
  const { user } = contact.person;
  const name = contact.person.name || localOf(user);
  return (
    <article class={s.card} aria-label={t('contacts.request_of', { name })}>
      <a class={s.who} href={`/contacts/${encodeURIComponent(user)}`}>
        <Avatar id={user} name={name} size={44} />
        <span>
          <b>{name}</b>
          <small>
            <Where user={user} /> · {briefOf(contact.at_ms)}
          </small>
        </span>
      </a>
      {contact.text && <p class={s.text}>{contact.text}</p>}
      <Answers contact={contact} />
    </article>
  );
}

/** The three answers. Accepting opens the chat. */
export function Answers({ contact }: { contact: http.api.Contact }) {
  const [busy, setBusy] = useState('');
  const say = async (what: 'accept' | 'ignore' | 'block') => {
    setBusy(what);
    const done = await answer(contact, what);
    setBusy('');
    if (done && what === 'accept') await startChat(contact.person.user);
  };
  return (
    <div class={s.answers}>
      <Button look="primary" small busy={busy === 'accept'} disabled={busy !== ''} onClick={() => void say('accept')}>
        {t('contacts.accept')}
      </Button>
      <Button small busy={busy === 'ignore'} disabled={busy !== ''} onClick={() => void say('ignore')}>
        {t('contacts.ignore')}
      </Button>
      <Button look="danger" small busy={busy === 'block'} disabled={busy !== ''} onClick={() => void say('block')}>
        {t('contacts.block')}
      </Button>
    </div>
  );
}

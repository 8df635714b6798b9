/** The card of somebody on another node: who they are, how the reader stands with them, and what can be done about it. */
import { useState } from 'preact/hooks';
import type * as http from '../../core/api.ts';
import { nodeOf } from '../../core/types.ts';
import { momentOf, t } from '../../i18n/index.ts';
import { here } from '../../session.ts';
import { Button } from '../../ui/Button/Button.tsx';
import { Confirm } from '../../ui/Dialog/Dialog.tsx';
import { CopyLine } from '../../ui/Parts/Parts.tsx';
import { NodeBadge } from './Domain.tsx';
import { add, answer, contactOf, fullAddress, startChat } from './model.ts';
import s from './Picker.module.css';
import { Profile } from './Profile.tsx';
import { Answers } from './Request.tsx';

export function RemoteCard({ user }: { user: string }) {
  const { state } = here();
  const contact = contactOf(state, user);
  const name = contact?.person.name || state.nameOf(user);
  const presence = contact?.state === 'contact' ? state.presence.value.get(user) : undefined;
  const address = fullAddress(state, user);
  return (
    <Profile user={user} name={name} presence={presence} home={<NodeBadge node={nodeOf(user)} />}>
      <div class={s.address}>
        <CopyLine label={t('contacts.address')} text={address} />
      </div>
      {!state.domains.value.get(nodeOf(user)) && <p class={s.note}>{t('contacts.unverified')}</p>}
      <Standing contact={contact} user={user} name={name} />
    </Profile>
  );
}

function Standing({ contact, user, name }: { contact: http.api.Contact | undefined; user: string; name: string }) {
  const { state } = here();
  const [removing, setRemoving] = useState(false);
  const [busy, setBusy] = useState(false);
  const chat = async () => {
    setBusy(true);
    await startChat(user);
    setBusy(false);
  };
  const block = contact && contact.state !== 'asking' && contact.state !== 'blocked' && (
    <Button look="danger" icon="ban" onClick={() => void answer(contact, 'block')}>
      {t('contacts.block')}
    </Button>
  );
  if (!contact || contact.state === 'ignored' || contact.state === 'blocked') {
    return (
      <>
        {contact && <p>{t(`contacts_state.${contact.state}`)}</p>}
        <div>
          {!contact && (
            <Button look="primary" icon="user-plus" onClick={() => add(fullAddress(state, user))}>
              {t('add.ask')}
            </Button>
          )}
          {contact?.state === 'ignored' && (
            <Button look="primary" icon="user-check" onClick={() => void answer(contact, 'accept')}>
              {t('contacts.accept')}
            </Button>
          )}
          {contact?.state === 'blocked' && (
            <Button icon="user-check" onClick={() => void answer(contact, 'unblock')}>
              {t('contacts.unblock')}
            </Button>
          )}
          {block}
        </div>
      </>
    );
  }
  return (
    <>
      {contact.state === 'asked' && <p>{t('contacts.asked_since', { time: momentOf(contact.at_ms) })}</p>}
      {contact.state !== 'contact' && contact.text && <blockquote class={s.words}>{contact.text}</blockquote>}
      {contact.state === 'asking' && <Answers contact={contact} />}
      {contact.state === 'asked' && (
        <div>
          <Button icon="undo-2" onClick={() => void answer(contact, 'withdraw')}>
            {t('contacts.withdraw')}
          </Button>
          {block}
        </div>
      )}
      {contact.state === 'contact' && (
        <div>
          <Button look="primary" icon="message-circle" busy={busy} onClick={() => void chat()}>
            {t('contacts.message')}
          </Button>
          <Button icon="user-x" onClick={() => setRemoving(true)}>
            {t('contacts.remove')}
          </Button>
          {block}
        </div>
      )}
      {removing && (
        <Confirm
          title={t('contacts.remove')}
          text={t('contacts.remove_text', { name })}
          action={t('contacts.remove')}
          danger
          onClose={() => setRemoving(false)}
          onConfirm={() => void answer(contact, 'remove')}
        />
      )}
    </>
  );
}

/** Picks people from the directory: chosen ones as chips above, checkboxes below. */
import { useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
import { localOf } from '../../core/store/state.ts';
import { t } from '../../i18n/index.ts';
import { here } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Button } from '../../ui/Button/Button.tsx';
import { Field } from '../../ui/Field/Field.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { Problem, Skeleton } from '../../ui/Parts/Parts.tsx';
import shell from '../shell/Shell.module.css';
import { Where } from './Domain.tsx';
import { contactsLike, explainMeeting, isMe, looksLikeAddress, placeIn, useDirectory } from './model.ts';
import s from './Picker.module.css';

export interface Chosen {
  user: string;
  name: string;
}

interface PickerProps {
  chosen: readonly Chosen[];
  onChange: (chosen: readonly Chosen[]) => void;
  without?: ReadonlyMap<string, string>; // people who cannot be picked, and why
}

export function Picker({ chosen, onChange, without }: PickerProps) {
  const [query, setQuery] = useState('');
  const { people, error, more, again } = useDirectory(query);
  const toggle = (person: Chosen) =>
    onChange(
      chosen.some(({ user }) => user === person.user)
        ? chosen.filter(({ user }) => user !== person.user)
        : [...chosen, person],
    );
  const elsewhere = contactsLike(here().state, query)
    .filter(({ state }) => state === 'contact')
    .map(({ person }) => person);
  const shown = people && [...elsewhere, ...people.filter(({ user }) => !isMe(user))];
  const found = (person: Chosen) => {
    setQuery('');
    if (!chosen.some(({ user }) => user === person.user) && !without?.has(person.user)) onChange([...chosen, person]);
  };
  return (
    <>
      <Field
        label={t('contacts.search')}
        hint={t('contacts.search_hint')}
        type="search"
        value={query}
        onInput={setQuery}
      />
      {chosen.length > 0 && (
        <div class={s.chosen}>
          {chosen.map((person) => (
            <button
              key={person.user}
              type="button"
              class={s.chip}
              aria-label={t('contacts.unpick', { name: person.name })}
              onClick={() => toggle(person)}
            >
              <Avatar id={person.user} name={person.name} size={26} />
              {person.name}
              <Icon name="x" size={14} />
            </button>
          ))}
        </div>
      )}
      <div class={s.list} role="group" aria-label={t('contacts.people')} tabIndex={0}>
        <Problem error={error} retry={again} />
        {!shown && !error && <Skeleton rows={3} />}
        {looksLikeAddress(query) && <Elsewhere address={query} onFound={found} />}
        {shown?.length === 0 && elsewhere.length === 0 && !looksLikeAddress(query) && (
          <p class={shell.muted}>{t(query ? 'contacts.none_found' : 'contacts.alone')}</p>
        )}
        <div class={s.people}>
          {shown?.map((person) => {
            const why = without?.get(person.user);
            return (
              <button
                key={person.user}
                type="button"
                class={s.person}
                role="checkbox"
                aria-checked={chosen.some(({ user }) => user === person.user)}
                aria-label={person.name}
                disabled={why !== undefined}
                onClick={() => toggle({ user: person.user, name: person.name })}
              >
                <Avatar id={person.user} name={person.name} size={40} />
                <span>
                  <b>{person.name}</b>
                  <small>{why ?? <Where user={person.user} />}</small>
                </span>
                <span class={s.check} aria-hidden="true">
                  <Icon name="check" size={16} />
                </span>
              </button>
            );
          })}
        </div>
        {more && (
          <Button look="ghost" small onClick={more}>
            {t('common.more')}
          </Button>
        )}
      </div>
    </>
  );
}

/** Somebody of another node, by address: their node is met first, then they can be picked. */
function Elsewhere({ address, onFound }: { address: string; onFound: (person: Chosen) => void }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState('');
  const look = async () => {
    setBusy(true);
    setError('');
    try {
      const { kind, user, hint } = await http.introduce(address.trim());
      if (kind === 'person') onFound({ user, name: hint || here().state.nameOf(user) || localOf(user) });
      else setError(t('add.not_a_person'));
    } catch (problem) {
      setError(explainMeeting(problem, address));
    }
    setBusy(false);
  };
  return (
    <div class={s.lookup}>
      <Button icon="search" wide busy={busy} onClick={() => void look()}>
        {t(busy ? 'add.looking' : 'add.look_at', { node: placeIn(address) })}
      </Button>
      {error && <p role="alert">{error}</p>}
    </div>
  );
}

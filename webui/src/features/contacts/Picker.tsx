/** Picks people from the directory: chosen ones as chips above, checkboxes below. */
import { useState } from 'preact/hooks';
import { t } from '../../i18n/index.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Button } from '../../ui/Button/Button.tsx';
import { Field } from '../../ui/Field/Field.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { Problem, Skeleton } from '../../ui/Parts/Parts.tsx';
import shell from '../shell/Shell.module.css';
import { addressOf, isMe, useDirectory } from './model.ts';
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
  const shown = people?.filter(({ user }) => !isMe(user));
  return (
    <>
      <Field label={t('contacts.search')} type="search" value={query} onInput={setQuery} />
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
        {shown?.length === 0 && <p class={shell.muted}>{t(query ? 'contacts.none_found' : 'contacts.alone')}</p>}
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
                  <small>{why ?? addressOf(person.local)}</small>
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

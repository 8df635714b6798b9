/** The frame of anybody's card: the way back, their picture and name; what sets them apart is put into it. */
import type { ComponentChildren } from 'preact';
import { t } from '../../i18n/index.ts';
import { go } from '../../routes.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { IconButton } from '../../ui/Button/Button.tsx';
import { presenceText } from '../chats/model.ts';
import shell from '../shell/Shell.module.css';
import s from './Picker.module.css';

interface ProfileProps {
  user: string;
  name: string;
  presence?: string | undefined;
  /** Where they are at home: under the name, above whether they are there. */
  home: ComponentChildren;
  children: ComponentChildren;
}

export function Profile({ user, name, presence, home, children }: ProfileProps) {
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
        {home}
        {presence && <p>{presenceText(presence)}</p>}
        {children}
      </section>
    </div>
  );
}

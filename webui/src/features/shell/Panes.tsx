/** A place made of pages: its menu on the left, one page on the right; each page has its URL below that of the place. */
import type { ComponentChildren } from 'preact';
import { type Key, t } from '../../i18n/index.ts';
import { go, route } from '../../routes.ts';
import { IconButton } from '../../ui/Button/Button.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { Empty } from '../../ui/Parts/Parts.tsx';
import shell from './Shell.module.css';

export interface PageOf {
  name: string;
  icon: string;
  key: Key;
  view: () => ComponentChildren;
}

interface PanesProps {
  root: string; // where the place is, `/settings`
  title: string;
  icon: string;
  pick: string; // said while no page is open
  menu: string; // the name of the menu
  pages: readonly PageOf[];
  above?: ComponentChildren;
  below?: ComponentChildren; // goes on with the menu
}

export function Panes({ root, title, icon, pick, menu, pages, above, below }: PanesProps) {
  const { sub } = route.value;
  const page = pages.find(({ name }) => name === sub);
  return (
    <>
      <aside class={shell.list} aria-label={title}>
        <header class={shell.head}>
          <h2>{title}</h2>
        </header>
        <div class={shell.scroll}>
          {above}
          <nav class={shell.menu} aria-label={menu}>
            {pages.map((one) => (
              <a
                key={one.name}
                href={`${root}/${one.name}`}
                aria-current={one.name === page?.name ? 'page' : undefined}
              >
                <Icon name={one.icon} />
                {t(one.key)}
              </a>
            ))}
            {below}
          </nav>
        </div>
      </aside>
      <main class={shell.main}>
        {page ? (
          <>
            <header class={shell.head}>
              <IconButton
                class={shell.backs ?? ''}
                icon="arrow-left"
                label={t('common.back')}
                onClick={() => go(root)}
              />
              <h1>{t(page.key)}</h1>
            </header>
            <div class={shell.scroll}>
              <div class={shell.column}>{page.view()}</div>
            </div>
          </>
        ) : (
          <>
            <h1 class="visually-hidden">{title}</h1>
            <Empty icon={icon} title={pick} />
          </>
        )}
      </main>
    </>
  );
}

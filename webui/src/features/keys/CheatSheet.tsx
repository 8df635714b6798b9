/** The table of keys, as a dialog and as a page of the settings. */
import { t } from '../../i18n/index.ts';
import { Dialog } from '../../ui/Dialog/Dialog.tsx';
import s from './Keys.module.css';
import { SHORTCUTS } from './keys.ts';

export default function CheatSheet({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title={t('keys.title')} onClose={onClose} wide>
      <div role="region" aria-label={t('keys.title')} tabIndex={0}>
        <KeyTable />
      </div>
    </Dialog>
  );
}

export function KeyTable() {
  return (
    <table class={s.table} aria-label={t('keys.title')}>
      <tbody>
        {SHORTCUTS.map(({ keys, key }) => (
          <tr key={key}>
            <td>{t(key)}</td>
            <td>
              {keys.split(' ').map((name) => (
                <kbd key={name}>{name}</kbd>
              ))}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A new group: a name, and people who are invited and may say no. */
import { useState } from 'preact/hooks';
import { t } from '../../i18n/index.ts';
import { go } from '../../routes.ts';
import { here } from '../../session.ts';
import { Button } from '../../ui/Button/Button.tsx';
import { Actions, Dialog } from '../../ui/Dialog/Dialog.tsx';
import { Field } from '../../ui/Field/Field.tsx';
import { Problem } from '../../ui/Parts/Parts.tsx';
import { type Chosen, Picker } from '../contacts/Picker.tsx';

export default function CreateGroup({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState('');
  const [chosen, setChosen] = useState<readonly Chosen[]>([]);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const room = await here().createGroup(
        name.trim(),
        '',
        chosen.map(({ user }) => user),
      );
      go(`/c/${room}`, true);
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return (
    <Dialog title={t('group.create')} onClose={onClose}>
      <form onSubmit={submit} style={{ display: 'contents' }}>
        <Field label={t('group.name')} value={name} onInput={setName} maxLength={60} autoFocus required />
        <Picker chosen={chosen} onChange={setChosen} />
        <Problem error={error} />
        <Actions>
          <Button onClick={onClose}>{t('common.cancel')}</Button>
          <Button type="submit" look="primary" busy={busy} disabled={!name.trim()}>
            {chosen.length ? t('group.create_with', { n: chosen.length }) : t('group.create_action')}
          </Button>
        </Actions>
      </form>
    </Dialog>
  );
}

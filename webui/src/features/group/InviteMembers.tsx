/** Asks people of the node into a group. */
import { useEffect, useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
import { Refusal, type Room } from '../../core/types.ts';
import { t } from '../../i18n/index.ts';
import { here } from '../../session.ts';
import { Button } from '../../ui/Button/Button.tsx';
import { Actions, Dialog } from '../../ui/Dialog/Dialog.tsx';
import { Problem } from '../../ui/Parts/Parts.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import { type Chosen, Picker } from '../contacts/Picker.tsx';

export default function InviteMembers({ room, onClose }: { room: Room; onClose: () => void }) {
  const [chosen, setChosen] = useState<readonly Chosen[]>([]);
  const [without, setWithout] = useState<ReadonlyMap<string, string>>(new Map());
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    http.members(room.room).then(({ members, invited }) => {
      setWithout(
        new Map([
          ...members.map(({ user }) => [user, t('group.is_member')] as const),
          ...invited.map(({ user }) => [user, t('group.is_invited')] as const),
        ]),
      );
    }, setError);
  }, []);
  const submit = async () => {
    setBusy(true);
    try {
      for (const { user } of chosen) await here().act(room.room, 'invite', { user }).catch(unlessDone);
      toast(t('group.invited_n', { n: chosen.length }));
      onClose();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return (
    <Dialog title={t('group.invite')} onClose={onClose}>
      <Picker chosen={chosen} onChange={setChosen} without={without} />
      <Problem error={error} />
      <Actions>
        <Button onClick={onClose}>{t('common.cancel')}</Button>
        <Button look="primary" busy={busy} disabled={!chosen.length} onClick={() => void submit()}>
          {t('group.invite_action')}
        </Button>
      </Actions>
    </Dialog>
  );
}

function unlessDone(error: unknown): void {
  if (!(error instanceof Refusal && error.code === 'already_done')) throw error;
}

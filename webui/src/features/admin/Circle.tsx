/** Which other nodes this one talks to: all of them, or those that an admin allowed. */
import { useEffect, useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
import { t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { Button } from '../../ui/Button/Button.tsx';
import { Confirm } from '../../ui/Dialog/Dialog.tsx';
import { Segments } from '../../ui/Field/Field.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import shell from '../shell/Shell.module.css';

type Circle = http.api.NodeSettings['circle'];

/** The setting; null until it is known. */
function useCircle(): [Circle | null, (circle: Circle) => Promise<void>] {
  const [circle, setCircle] = useState<Circle | null>(null);
  const report = (error: unknown) => toast(explain(error).text);
  useEffect(() => {
    http.settings().then((settings) => setCircle(settings.circle), report);
  }, []);
  const change = (wanted: Circle) =>
    http.changeSettings({ circle: wanted }).then((settings) => {
      setCircle(settings.circle);
      toast(t('common.saved'));
    }, report);
  return [circle, change];
}

export function CircleCard({ onChanged }: { onChanged: () => void }) {
  const [circle, change] = useCircle();
  const [asking, setAsking] = useState(false);
  if (!circle) return null;
  const set = (wanted: Circle) => void change(wanted).then(onChanged);
  return (
    <section class={shell.card} aria-label={t('circle.title')}>
      <Segments
        label={t('circle.title')}
        value={circle}
        onChange={(wanted) => (wanted === 'allowed' ? setAsking(true) : set(wanted))}
        options={[
          { value: 'open', label: t('circle.open') },
          { value: 'allowed', label: t('circle.allowed') },
        ]}
      />
      <p class={shell.muted}>{t(circle === 'allowed' ? 'circle.allowed_text' : 'circle.open_text')}</p>
      {asking && (
        <Confirm
          title={t('circle.allowed')}
          text={t('circle.ask')}
          action={t('circle.allowed')}
          onClose={() => setAsking(false)}
          onConfirm={() => set('allowed')}
        />
      )}
    </section>
  );
}

/** On the page of a node: whether it is one of the allowed, where that matters. */
export function AllowButton({ peer, onChange }: { peer: http.api.Peer; onChange: (policy: 'allow' | 'open') => void }) {
  const [circle] = useCircle();
  if (circle !== 'allowed' || peer.policy === 'block') return null;
  const allowed = peer.policy === 'allow';
  return (
    <Button icon={allowed ? 'x' : 'check'} onClick={() => onChange(allowed ? 'open' : 'allow')}>
      {t(allowed ? 'circle.forbid' : 'circle.allow')}
    </Button>
  );
}

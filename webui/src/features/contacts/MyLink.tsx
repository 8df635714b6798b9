/** A link that makes one person elsewhere a contact without asking: to send, or to show as a code. */
import { useEffect, useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
import { momentOf, t } from '../../i18n/index.ts';
import { here, me } from '../../session.ts';
import { Avatar } from '../../ui/Avatar/Avatar.tsx';
import { Button } from '../../ui/Button/Button.tsx';
import { Dialog } from '../../ui/Dialog/Dialog.tsx';
import { CopyLine, Problem, Qr, Skeleton } from '../../ui/Parts/Parts.tsx';
import shell from '../shell/Shell.module.css';
import s from './AddContact.module.css';
import { fullAddress } from './model.ts';

/** Shown again until somebody asks for another one: each use of the page would leave an open link behind. */
let last: { user: string; link: http.api.Link } | null = null;

export default function MyLink({ onClose }: { onClose: () => void }) {
  const [link, setLink] = useState<http.api.Link | null>(null);
  const [error, setError] = useState<unknown>(null);
  const user = me.value?.user ?? '';
  const make = () => {
    setLink(null);
    setError(null);
    http.makeContactLink().then((made) => {
      last = { user, link: made };
      setLink(made);
    }, setError);
  };
  useEffect(() => {
    if (last?.user === user && (last.link.expires_ms === 0 || last.link.expires_ms > Date.now())) setLink(last.link);
    else make();
  }, []);
  const name = me.value?.name ?? '';
  const share = typeof navigator.share === 'function';
  return (
    <Dialog title={t('mylink.title')} onClose={onClose}>
      <Problem error={error} retry={make} />
      {!link && !error && <Skeleton rows={1} />}
      {link && (
        <>
          <div class={s.found}>
            <Avatar id={me.value?.user ?? ''} name={name} size={56} />
            <b>{name}</b>
          </div>
          <Qr text={link.url} label={t('mylink.qr')} />
          <CopyLine label={t('mylink.title')} text={link.url} />
          <p class={shell.muted}>{t('mylink.text', { time: momentOf(link.expires_ms) })}</p>
          <div class={s.ways}>
            {share && (
              <Button
                icon="share-2"
                onClick={() =>
                  void navigator.share({ title: t('mylink.share', { name }), url: link.url }).catch(() => undefined)
                }
              >
                {t('mylink.share_action')}
              </Button>
            )}
            <Button icon="refresh-cw" onClick={make}>
              {t('link.another')}
            </Button>
          </div>
          <CopyLine label={t('contacts.address')} text={fullAddress(here().state, me.value?.user ?? '')} />
          <p class={shell.muted}>{t('mylink.address')}</p>
        </>
      )}
    </Dialog>
  );
}

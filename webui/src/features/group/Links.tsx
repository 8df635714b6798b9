/** Invitation links of a group: made with an expiry and a number of uses, shown once with their QR, and taken back. */
import { useEffect, useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
import type { Room } from '../../core/types.ts';
import { t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { Problem } from '../../ui/Parts/Parts.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';
import { LinkList, LinkMaker, Made } from './LinkParts.tsx';

export function Links({ room }: { room: Room }) {
  const [list, setList] = useState<readonly http.api.Link[]>([]);
  const [made, setMade] = useState<http.api.Link | null>(null);
  const [error, setError] = useState<unknown>(null);
  const load = () => {
    http.links(room.room).then(({ links }) => setList(links), setError);
  };
  useEffect(load, [room.room]);
  const make = async (expires_s: number, uses: number) => {
    try {
      setMade(await http.makeLink(room.room, { expires_s, uses }));
      load();
    } catch (problem) {
      toast(explain(problem).text);
    }
  };
  const drop = async (id: string) => {
    try {
      await http.dropLink(room.room, id);
      if (made?.id === id) setMade(null);
      load();
    } catch (problem) {
      toast(explain(problem).text);
    }
  };
  return (
    <>
      {made ? <Made link={made} onMore={() => setMade(null)} /> : <LinkMaker onMake={make} />}
      <Problem error={error} retry={load} />
      <LinkList title={t('group.live_links')} links={list} onDrop={drop} />
    </>
  );
}

/** The page of chats: list, conversation, and the panel of details. What a list does not need comes right after it. */
import { lazy, Suspense } from 'preact/compat';
import { useEffect } from 'preact/hooks';
import { t } from '../../i18n/index.ts';
import { back, go, route } from '../../routes.ts';
import { here } from '../../session.ts';
import { Button } from '../../ui/Button/Button.tsx';
import { Empty } from '../../ui/Parts/Parts.tsx';
import shell from '../shell/Shell.module.css';
import { ChatList } from './ChatList.tsx';

const readConversation = () => import('../timeline/Conversation.tsx');
const Conversation = lazy(readConversation);
if (route.peek().room) void readConversation().catch(() => undefined); // the address names a chat: at once
const Details = lazy(() => import('../group/Details.tsx'));
const CreateGroup = lazy(() => import('../group/CreateGroup.tsx'));
const InviteMembers = lazy(() => import('../group/InviteMembers.tsx'));

export function Chats() {
  const { room, panel, dialog, target } = route.value;
  const { state } = here();
  const card = room ? state.rooms.value.get(room) : undefined;
  useEffect(() => void readConversation().catch(() => undefined), []); // there before somebody opens a chat
  return (
    <>
      <ChatList />
      {card ? (
        <Suspense fallback={<main class={shell.main} aria-busy="true" />}>
          <Conversation key={card.room} room={card} target={panel === 'reads' ? undefined : target} />
        </Suspense>
      ) : (
        <Blank missing={room !== undefined && state.loaded.value} />
      )}
      <Suspense fallback={null}>
        {card && panel && panel !== 'reads' && <Details room={card} panel={panel} />}
        {dialog === 'new-group' && <CreateGroup onClose={() => back('/')} />}
        {card && dialog === 'invite' && <InviteMembers room={card} onClose={() => back(`/c/${card.room}/members`)} />}
      </Suspense>
    </>
  );
}

function Blank({ missing }: { missing: boolean }) {
  return (
    <main class={shell.main}>
      <h1 class="visually-hidden">{t('nav.chats')}</h1>
      {missing ? (
        <Empty icon="message-circle" title={t('chats.missing')} text={t('chats.missing_text')}>
          <Button onClick={() => go('/')}>{t('nav.chats')}</Button>
        </Empty>
      ) : (
        <Empty icon="message-circle" title={t('chats.pick')} text={t('chats.pick_text')} />
      )}
    </main>
  );
}

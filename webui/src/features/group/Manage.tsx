/** How the group is run: name, announcement, silence, and how long messages can be taken back. */
import { useState } from 'preact/hooks';
import type { Body, Room } from '../../core/types.ts';
import { type Key, t } from '../../i18n/index.ts';
import { explain } from '../../i18n/refusal.ts';
import { here } from '../../session.ts';
import { Button } from '../../ui/Button/Button.tsx';
import { Field, Select, Switch } from '../../ui/Field/Field.tsx';
import { toast } from '../../ui/Toast/Toast.tsx';

const RECALL_S = [0, 120, 600, 3_600, 86_400] as const;

export function Manage({ room }: { room: Room }) {
  const [name, setName] = useState(room.name);
  const [topic, setTopic] = useState(room.topic);
  const [busy, setBusy] = useState('');
  const act = async (kind: string, body: Body) => {
    setBusy(kind);
    try {
      await here().act(room.room, kind, body);
      toast(t('common.saved'));
    } catch (error) {
      toast(explain(error).text);
    }
    setBusy('');
  };
  const windows = [...new Set([...RECALL_S, room.recallWindowS])].sort((a, b) => a - b);
  return (
    <>
      <form
        style={{ display: 'grid', gap: '12px' }}
        onSubmit={(event) => {
          event.preventDefault();
          void act('name', { name: name.trim() });
        }}
      >
        <Field label={t('group.name')} value={name} onInput={setName} maxLength={60} required />
        {name.trim() !== room.name && (
          <Button type="submit" look="primary" busy={busy === 'name'} disabled={!name.trim()}>
            {t('group.save_name')}
          </Button>
        )}
      </form>
      <form
        style={{ display: 'grid', gap: '12px' }}
        onSubmit={(event) => {
          event.preventDefault();
          void act('topic', { topic: topic.trim() });
        }}
      >
        <Field
          label={t('group.topic')}
          hint={t('group.topic_hint')}
          value={topic}
          onInput={setTopic}
          maxLength={4000}
          lines
        />
        {topic.trim() !== room.topic && (
          <Button type="submit" look="primary" busy={busy === 'topic'}>
            {t('group.save_topic')}
          </Button>
        )}
      </form>
      <Switch
        label={t('group.mute_all')}
        on={room.mutedAll}
        disabled={busy === 'mute_all'}
        onChange={(on) => void act('mute_all', { on })}
      />
      <Select
        label={t('group.recall_window')}
        value={String(room.recallWindowS)}
        disabled={busy === 'settings'}
        onChange={(value) => void act('settings', { recall_window_s: Number(value) })}
        options={windows.map((seconds) => ({ value: String(seconds), label: span(seconds) }))}
      />
      <Select
        label={t('calls.who')}
        value={room.calls}
        disabled={busy === 'settings'}
        onChange={(calls) => void act('settings', { calls })}
        options={['everybody', 'admins', 'nobody'].map((value) => ({ value, label: t(`calls.who.${value}` as Key) }))}
      />
    </>
  );
}

function span(seconds: number): string {
  if (seconds === 0) return t('group.recall_never');
  if (seconds < 3_600) return t('group.minutes', { n: Math.round(seconds / 60) });
  return t('group.hours', { n: Math.round(seconds / 3_600) });
}

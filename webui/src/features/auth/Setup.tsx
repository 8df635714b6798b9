/** The owner's first run: keep the recovery phrase, name the node, hand out the first invitation. Under two minutes. */
import { useEffect, useState } from 'preact/hooks';
import * as http from '../../core/api.ts';
import { t } from '../../i18n/index.ts';
import { go } from '../../routes.ts';
import { changed, node } from '../../session.ts';
import { Button } from '../../ui/Button/Button.tsx';
import { Field, Segments } from '../../ui/Field/Field.tsx';
import { Icon } from '../../ui/Icon/Icon.tsx';
import { CopyLine, Problem, Qr, Skeleton } from '../../ui/Parts/Parts.tsx';
import s from './Auth.module.css';
import { Card } from './Gate.tsx';

type Mode = http.api.NodeInfo['registration'];

export default function Setup() {
  const [phrase, setPhrase] = useState<http.api.Phrase | null>(null);
  const [step, setStep] = useState(0);
  const [link, setLink] = useState<http.api.Link | null>(null);
  const [error, setError] = useState<unknown>(null);
  const load = () => {
    setError(null);
    http.phrase().then(setPhrase, setError);
  };
  useEffect(load, []);
  if (error) {
    return (
      <Card title={t('setup.title')}>
        <Problem error={error} retry={load} />
      </Card>
    );
  }
  if (!phrase) return <Skeleton rows={3} />;
  if (step === 0) return <Words phrase={phrase} next={() => setStep(1)} />;
  if (step === 1) return <Confirm phrase={phrase} back={() => setStep(0)} next={() => setStep(2)} />;
  return <First link={link} setLink={setLink} />;
}

const Steps = ({ now }: { now: number }) => (
  <div class={s.steps} role="img" aria-label={t('setup.step', { now: now + 1, all: 3 })}>
    {[0, 1, 2].map((i) => (
      <i key={i} data-on={i <= now ? 'yes' : 'no'} />
    ))}
  </div>
);

function Words({ phrase, next }: { phrase: http.api.Phrase; next: () => void }) {
  return (
    <Card title={t('setup.phrase_title')} text={t('setup.phrase_text')} wide>
      <ol class={s.words} aria-label={t('setup.phrase')}>
        {phrase.words.map((word, i) => (
          <li key={i}>{word}</li>
        ))}
      </ol>
      <p class={s.warn}>
        <Icon name="key-round" size={18} />
        {t('setup.phrase_warning')}
      </p>
      <Button look="primary" wide onClick={next}>
        {t('setup.wrote_down')}
      </Button>
      <Steps now={0} />
    </Card>
  );
}

function Confirm({ phrase, back, next }: { phrase: http.api.Phrase; back: () => void; next: () => void }) {
  const [words, setWords] = useState<Record<string, string>>({});
  const [name, setName] = useState(node.value?.name ?? '');
  const [mode, setMode] = useState<Mode>(node.value?.registration ?? 'invite');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const typed = Object.fromEntries(
        phrase.ask.map((place) => [String(place), (words[place] ?? '').trim().toLowerCase()]),
      );
      await http.confirmSetup({ words: typed, registration: mode, ...(name.trim() ? { node_name: name.trim() } : {}) });
      next();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  return (
    <Card title={t('setup.confirm_title')} text={t('setup.confirm_text')} wide>
      <form class={s.form} onSubmit={submit}>
        <div class={s.three}>
          {phrase.ask.map((place) => (
            <Field
              key={place}
              label={t('setup.word', { n: place })}
              value={words[place] ?? ''}
              onInput={(word) => setWords({ ...words, [place]: word })}
              autoFocus={place === phrase.ask[0]}
              required
            />
          ))}
        </div>
        <Field
          label={t('setup.node_name')}
          hint={t('setup.node_name_hint')}
          value={name}
          onInput={setName}
          maxLength={60}
        />
        <Segments label={t('setup.registration')} value={mode} onChange={setMode} options={modes()} />
        <Problem error={error} />
        <Button type="submit" look="primary" wide busy={busy}>
          {t('setup.finish')}
        </Button>
        <Button look="ghost" wide onClick={back}>
          {t('setup.show_again')}
        </Button>
      </form>
      <Steps now={1} />
    </Card>
  );
}

export const modes = (): { value: Mode; label: string }[] => [
  { value: 'invite', label: t('registration.invite') },
  { value: 'open', label: t('registration.open') },
  { value: 'closed', label: t('registration.closed') },
];

function First({ link, setLink }: { link: http.api.Link | null; setLink: (link: http.api.Link) => void }) {
  const [error, setError] = useState<unknown>(null);
  const make = () => {
    setError(null);
    http.makeInvite({ uses: 10 }).then(setLink, setError);
  };
  useEffect(make, []);
  const done = async () => {
    node.value = await http.node();
    changed(await http.me());
    go('/', true);
  };
  return (
    <Card title={t('setup.done_title')} text={t('setup.done_text')} wide>
      {link && <Qr text={link.url} label={t('invite.qr')} />}
      {link && <CopyLine label={t('invite.link')} text={link.url} />}
      <Problem error={error} retry={make} />
      <Button look="primary" wide onClick={() => void done()}>
        {t('setup.start')}
      </Button>
      <Steps now={2} />
    </Card>
  );
}

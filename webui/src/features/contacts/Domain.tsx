/** Where somebody lives, beside their name: the domain if it was verified, else the beginning of the key, greyed. */
import { localOf } from '../../core/store/state.ts';
import { nodeOf } from '../../core/types.ts';
import { t } from '../../i18n/index.ts';
import { here } from '../../session.ts';
import { Icon } from '../../ui/Icon/Icon.tsx';
import s from './Domain.module.css';
import { addressOf } from './model.ts';

/** Nothing for people of the own node: there is nobody to mix them up with. */
export function Domain({ user }: { user: string }) {
  return here().state.isRemote(user) ? <NodeBadge node={nodeOf(user)} /> : null;
}

/** The line below a name: who that is on which node. */
export function Where({ user }: { user: string }) {
  const { state } = here();
  if (!state.isRemote(user)) return addressOf(localOf(user));
  return (
    <span class={s.where}>
      <span>@{localOf(user)}</span>
      <NodeBadge node={nodeOf(user)} />
    </span>
  );
}

export function NodeBadge({ node }: { node: string }) {
  const { state } = here();
  const domain = state.domains.value.get(node);
  return (
    <span
      class={s.badge}
      data-verified={domain ? 'yes' : 'no'}
      title={domain ? t('domain.verified', { domain }) : t('domain.unverified', { node: `${node}.startalk.alt` })}
    >
      <Icon name="globe" size={12} />
      <span>{state.nodeName(node)}</span>
    </span>
  );
}

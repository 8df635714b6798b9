/** Where somebody lives, beside their name: the domain if it was verified, else the beginning of the key, greyed. */
import { nodeOf } from '../../core/types.ts';
import { t } from '../../i18n/index.ts';
import { here } from '../../session.ts';
import { Icon } from '../../ui/Icon/Icon.tsx';
import s from './Domain.module.css';

/** Nothing for people of the own node: there is nobody to mix them up with. */
export function Domain({ user }: { user: string }) {
  return here().state.isRemote(user) ? <NodeBadge node={nodeOf(user)} /> : null;
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

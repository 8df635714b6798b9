/** Keys of a call on the whole screen: M, V, S, H, and space held to talk. They act only where nobody types or presses. */
import { useEffect } from 'preact/hooks';
import { canShare } from './engine/devices.ts';
import type { Session } from './engine/session.ts';

const isTaken = ({ target }: KeyboardEvent): boolean =>
  Boolean((target as Element | null)?.closest?.('input,textarea,select,dialog,[role=menu],[role=radiogroup]'));

export function useCallKeys(session: Session): void {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.isComposing || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (isTaken(event) || session.phase.value === 'over' || session.phase.value === 'asking') return;
      const key = event.key.toLowerCase();
      // space presses a focused button, as it does everywhere
      if (key === ' ' && (event.target as Element | null)?.closest?.('button,a')) return;
      if (event.repeat && key !== ' ') return;
      if (key === ' ') session.sources.hold(true);
      else if (key === 'm') void session.sources.setMic(!session.sources.mic.value);
      else if (key === 'v' && session.video.value) void session.sources.setCamera(!session.sources.camera.value);
      else if (key === 's' && session.video.value && canShare())
        void session.sources.setScreen(!session.sources.screen.value);
      else if (key === 'h') session.setHand(!session.hand.value);
      else return;
      event.preventDefault();
    };
    const release = (event: KeyboardEvent) => {
      if (event.key === ' ') session.sources.hold(false);
    };
    const away = () => session.sources.hold(false);
    addEventListener('keydown', press);
    addEventListener('keyup', release);
    addEventListener('blur', away);
    return () => {
      removeEventListener('keydown', press);
      removeEventListener('keyup', release);
      removeEventListener('blur', away);
      session.sources.hold(false);
    };
  }, [session]);
}

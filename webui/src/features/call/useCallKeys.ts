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
      if (key === ' ') session.hold(true);
      else if (key === 'm') void session.setMic(!session.mic.value);
      else if (key === 'v' && session.video.value) void session.setCamera(!session.camera.value);
      else if (key === 's' && session.video.value && canShare()) void session.setScreen(!session.screen.value);
      else if (key === 'h') session.setHand(!session.hand.value);
      else return;
      event.preventDefault();
    };
    const release = (event: KeyboardEvent) => {
      if (event.key === ' ') session.hold(false);
    };
    const away = () => session.hold(false);
    addEventListener('keydown', press);
    addEventListener('keyup', release);
    addEventListener('blur', away);
    return () => {
      removeEventListener('keydown', press);
      removeEventListener('keyup', release);
      removeEventListener('blur', away);
      session.hold(false);
    };
  }, [session]);
}

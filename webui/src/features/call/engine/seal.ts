/**
 * The place where end-to-end encryption of media takes hold: whoever seals frames gets each sender before its first frame
 * and each receiver before it is played, and puts an RTCRtpScriptTransform on it. Nobody does so yet; the node forwards
 * the payload of a frame unread and unchanged, sealed or not.
 */
import type { Source } from '../../../core/calling.ts';

export interface Seal {
  sends(sender: RTCRtpSender, source: Source): void;
  receives(receiver: RTCRtpReceiver): void;
}

const PLACE = Symbol.for('startalk.seal');

export const seal = (): Seal | null => (globalThis as { [PLACE]?: Seal })[PLACE] ?? null;

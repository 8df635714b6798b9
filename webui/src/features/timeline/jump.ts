/** Where the timeline should go next, and which message draws the eye for a moment. */
import { signal } from '@preact/signals';

export const jump = signal<{ room: string; id: string } | null>(null);
export const pulse = signal('');

/** IndexedDB for every test; what happy-dom lacks of dialogs and popovers; patience for machines that do much else. */
import 'fake-indexeddb/auto';
import { configure } from '@testing-library/preact';
import { vi } from 'vitest';

const PATIENCE_MS = 10_000;
const waitFor = vi.waitFor.bind(vi);
vi.waitFor = (look, options) => waitFor(look, options ?? { timeout: PATIENCE_MS });
configure({ asyncUtilTimeout: PATIENCE_MS });

const proto = globalThis.HTMLElement?.prototype as (HTMLElement & { showPopover?: unknown }) | undefined;
if (proto && !proto.showPopover) {
  Object.assign(proto, { showPopover() {}, hidePopover() {} });
}
if (globalThis.window && !('matchMedia' in globalThis)) {
  Object.assign(globalThis, { matchMedia: () => ({ matches: false, addEventListener() {} }) });
}

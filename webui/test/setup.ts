/** IndexedDB for every test; what happy-dom lacks of dialogs and popovers. */
import 'fake-indexeddb/auto';

const proto = globalThis.HTMLElement?.prototype as (HTMLElement & { showPopover?: unknown }) | undefined;
if (proto && !proto.showPopover) {
  Object.assign(proto, { showPopover() {}, hidePopover() {} });
}
if (globalThis.window && !('matchMedia' in globalThis)) {
  Object.assign(globalThis, { matchMedia: () => ({ matches: false, addEventListener() {} }) });
}

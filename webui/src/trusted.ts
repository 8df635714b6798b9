/** The one Trusted Types policy: script URLs of our own origin, and nothing else, ever. */
interface Policies {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): unknown;
}

const policies = (globalThis as { trustedTypes?: Policies }).trustedTypes;

policies?.createPolicy('default', {
  createScriptURL(url: string): string {
    if (new URL(url, location.href).origin !== location.origin) throw new TypeError('foreign script');
    return url;
  },
});

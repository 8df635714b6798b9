/**
 * Closes a layer on a press outside of it. Native light dismiss also counts the release of the very press that opened
 * the layer, which would close a menu at the end of each long press.
 */
export function onPressOutside(layer: HTMLElement, close: () => void): () => void {
  const press = (event: Event) => {
    if (!event.composedPath().includes(layer)) close();
  };
  document.addEventListener('pointerdown', press, true);
  return () => document.removeEventListener('pointerdown', press, true);
}

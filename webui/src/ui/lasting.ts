/** For what should not flash: signs of a state that often ends within a few frames. */
import { useEffect, useState } from 'preact/hooks';

/** True once `on` has held for a while, false at once. */
export function useLasting(on: boolean, ms: number): boolean {
  const [lasting, setLasting] = useState(false);
  useEffect(() => {
    setLasting(false);
    if (!on) return;
    const timer = setTimeout(() => setLasting(true), ms);
    return () => clearTimeout(timer);
  }, [on, ms]);
  return on && lasting;
}

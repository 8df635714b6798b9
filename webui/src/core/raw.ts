/** Readers of decoded msgpack: each gives the type that was expected or throws, so a broken frame is never half used. */
import { toText } from './bytes.ts';

export class Broken extends Error {}

export type Raw = readonly unknown[];

export const list = (value: unknown): Raw => {
  if (!Array.isArray(value)) throw new Broken('a list was expected');
  return value;
};
export const num = (value: unknown): number => {
  if (typeof value !== 'number') throw new Broken('a number was expected');
  return value;
};
export const str = (value: unknown): string => {
  if (typeof value !== 'string') throw new Broken('text was expected');
  return value;
};
/** Bytes of an id as text. */
export const id = (value: unknown): string => {
  if (!(value instanceof Uint8Array)) throw new Broken('bytes were expected');
  return toText(value);
};

// @vitest-environment node
/** The vectors that Python runs too, and ids in both spellings. */
import { existsSync, readFileSync } from 'node:fs';
import { Decoder } from '@msgpack/msgpack';
import { describe, expect, test } from 'vitest';
import { fromHex, fromText, newClientId, toText } from '../src/core/bytes.ts';
import type { Source } from '../src/core/calling.ts';
import { parseFragment } from '../src/core/link.ts';
import type { Body } from '../src/core/types.ts';
import { type ClientFrame, decodeFrame, encodeFrame } from '../src/core/wire.ts';

interface Vector {
  name: string;
  direction: 'client' | 'node';
  hex: string;
  frame: unknown[];
}

const folder = new URL('../../docs/spec/vectors/', import.meta.url);
const load = <T>(name: string): T[] =>
  existsSync(new URL(name, folder)) ? (JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as T[]) : [];
const text = (value: unknown): string => toText(fromHex((value as { hex: string }).hex));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** The frame as views would make it. */
function asClientFrame([name, a, b, c, d, e, f, g, h]: unknown[]): ClientFrame {
  switch (name) {
    case 'call_start':
      return { t: name, n: a as number, room: text(b), media: c as 'audio', targets: d as string[] };
    case 'call_ringing':
      return { t: name, call: text(a) };
    case 'call_join':
      return { t: name, n: a as number, call: text(b), seat: text(c) };
    case 'call_decline':
      return { t: name, n: a as number, call: text(b), busy: c as boolean };
    case 'call_leave':
      return { t: name, n: a as number, call: text(b), seat: text(c), everybody: d as boolean };
    case 'call_remove':
      return { t: name, n: a as number, call: text(b), seat: text(c), mute: d as boolean };
    case 'call_up':
      return {
        t: name,
        n: a as number,
        call: text(b),
        seat: text(c),
        sdp: d as string,
        sources: e as Record<string, Source>,
      };
    case 'call_down':
      return { t: name, n: a as number, call: text(b), seat: text(c), version: d as number, sdp: e as string };
    case 'call_restart':
      return { t: name, call: text(a), seat: text(b) };
    case 'call_state':
      return {
        t: name,
        call: text(a),
        seat: text(b),
        mic: c as boolean,
        camera: d as boolean,
        screen: e as boolean,
        hand: f as boolean,
      };
    case 'call_want':
      return {
        t: name,
        call: text(a),
        seat: text(b),
        wishes: (c as unknown[][]).map(([seat, source, width, pinned]) => ({
          seat: text(seat),
          source: source as Source,
          width: width as number,
          pinned: pinned as boolean,
        })),
      };
    case 'hello':
      return { t: 'hello', cursor: b as number | null, client: c as string };
    case 'ack':
      return { t: 'ack', seq: a as number };
    case 'post':
      return {
        t: 'post',
        n: a as number,
        room: text(b),
        clientId: text(c),
        kind: d as string,
        body: new Decoder().decode(fromHex((e as { hex: string }).hex)) as Body,
        guests: f as string[],
        token: text(g),
        hub: text(h),
      };
    case 'history':
      return { t: 'history', n: a as number, room: text(b), idx: c as number, back: d as boolean, limit: e as number };
    case 'read':
      return { t: 'read', n: a as number, room: text(b), idx: c as number };
    case 'typing':
      return { t: 'typing', room: text(a), on: b as boolean };
    case 'presence':
      return { t: 'presence', state: a as 'online' };
    case 'ping':
      return { t: 'ping', at: a as number };
    default:
      throw new Error(`no such frame: ${String(name)}`);
  }
}

const vectors = load<Vector>('c2s.json');
const safe = ({ frame }: Vector): boolean =>
  frame.every((item) => typeof item !== 'number' || Number.isSafeInteger(item));

describe('vectors of the device protocol', () => {
  // 2^53 itself is no exact number of this language; it is decoded, and never sent
  test.each(vectors.filter((vector) => vector.direction === 'client' && safe(vector)))('encodes $name', (vector) => {
    expect(hex(encodeFrame(asClientFrame(vector.frame)))).toBe(vector.hex);
  });
  test.each(vectors.filter(({ direction }) => direction === 'node'))('decodes $name', (vector) => {
    const frame = decodeFrame(fromHex(vector.hex));
    expect(frame.t).toBe(vector.frame[0]);
    if (frame.t === 'entries')
      expect(frame.entries.map(({ seq }) => seq)).toEqual((vector.frame[1] as number[][]).map(([seq]) => seq));
    if (frame.t === 'rooms') expect(frame.rooms).toHaveLength((vector.frame[1] as unknown[]).length);
    if (frame.t === 'page') expect(frame.entries).toHaveLength((vector.frame[3] as unknown[]).length);
    if (frame.t === 'refused') expect(frame.detail).toEqual(vector.frame[4]);
    if (frame.t === 'error') expect([frame.code, frame.retryAfterMs]).toEqual([vector.frame[1], vector.frame[3]]);
    if (frame.t === 'posted')
      expect(frame.items.map(({ idx }) => idx)).toEqual((vector.frame[1] as number[][]).map((item) => item[2]));
  });
});

test('an unknown frame is no error, a broken one is', () => {
  expect(decodeFrame(Uint8Array.from([0x91, 0xa3, 0x6e, 0x65, 0x77])).t).toBe('unknown');
  expect(() => decodeFrame(Uint8Array.from([0x92, 0xa4, 0x64, 0x6f, 0x6e, 0x65, 0xa1, 0x78]))).toThrow();
  expect(() => decodeFrame(Uint8Array.from([0xc1]))).toThrow();
});

test('ids keep their one spelling', () => {
  for (const size of [0, 1, 2, 3, 16, 32]) {
    const bytes = crypto.getRandomValues(new Uint8Array(size));
    expect(hex(fromText(toText(bytes)))).toBe(hex(bytes));
    expect(toText(bytes)).toBe(Buffer.from(bytes).toString('base64url'));
  }
  expect(() => fromText('a+b/')).toThrow();
});

test('client ids are UUIDs of version 7', () => {
  const bytes = fromText(newClientId(0x0192_3456_789a));
  expect(hex(bytes.slice(0, 6))).toBe('01923456789a');
  expect((bytes[6] ?? 0) >> 4).toBe(7);
  expect((bytes[8] ?? 0) >> 6).toBe(2);
});

test('a damaged link is null', () => {
  expect(parseFragment('#nonsense')).toBeNull();
  expect(parseFragment('')).toBeNull();
});

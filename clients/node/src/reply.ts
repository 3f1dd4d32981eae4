// Reads replies as every client gives them: strings or Buffers, flat arrays, Maps or objects, numbers or decimal strings.

import type { ModqError } from './errors.js';
import { Inexact, toModqError } from './errors.js';

/** A status or a string in one of Node's encodings. */
export function text(value: unknown, encoding: BufferEncoding = 'utf8'): string {
  if (Buffer.isBuffer(value)) return value.toString(encoding);
  if (value instanceof Uint8Array) return Buffer.from(value).toString(encoding);
  return String(value);
}

/** Bytes, whatever they are. */
export function bytes(value: unknown): Buffer {
  if (Buffer.isBuffer(value)) return value;
  if (value instanceof Uint8Array) return Buffer.from(value);
  return Buffer.from(String(value));
}

/** An integer that the contract keeps below 2^53, or a double. */
export function num(value: unknown): number {
  return typeof value === 'number' ? value : Number(text(value));
}

/** A 64-bit integer. A client that made a double of it may have changed it: that is an error. */
export function big(value: unknown): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value !== 'number') return BigInt(text(value));
  if (Number.isSafeInteger(value)) return BigInt(value);
  throw new Inexact(
    'this client reads integers as doubles, and this one is beyond 2^53: use node-redis 5 or later, or ioredis with stringNumbers',
    'INEXACT',
  );
}

/** A time of the server, from Unix milliseconds. */
export function date(value: unknown): Date {
  return new Date(num(value));
}

/** Null and undefined are null, everything else is read by `read`. */
export function optional<T>(value: unknown, read: (value: unknown) => T): T | null {
  return value === null || value === undefined ? null : read(value);
}

/** An array; null is an empty one. */
export function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The pairs of a map in any of its forms. */
export function pairs(value: unknown): [string, unknown][] {
  if (value instanceof Map) return [...value].map(([k, v]) => [text(k), v]);
  if (Array.isArray(value)) {
    const flat: [string, unknown][] = [];
    for (let i = 0; i + 1 < value.length; i += 2) flat.push([text(value[i]), value[i + 1]]);
    return flat;
  }
  return Object.entries((value ?? {}) as Record<string, unknown>);
}

/** A map by its field names. */
export function fields(value: unknown): Map<string, unknown> {
  return new Map(pairs(value));
}

/** An element of a batch's reply: what it is, or the error in its place. */
export function each<T>(value: unknown, read: (value: unknown) => T): (T | ModqError)[] {
  return list(value).map((one) => (one instanceof Error ? toModqError(one) : read(one)));
}

/** `wait_ms_p50` as `waitMsP50`. */
export function camel(name: string): string {
  return name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

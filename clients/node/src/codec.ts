// How payloads become bytes and bytes payloads.

/** Turns payloads into bytes and back. `decode` may throw: the error reaches whoever reads the payload. */
export interface Codec<T> {
  encode(payload: T): string | Buffer;
  decode(bytes: Buffer): T;
}

/** The default: payloads are Buffers; strings are taken as UTF-8. */
export const raw: Codec<Buffer | string> & { decode(bytes: Buffer): Buffer } = {
  encode: (payload) => payload,
  decode: (bytes) => bytes,
};

/** Payloads are strings, as UTF-8. */
export const utf8: Codec<string> = {
  encode: (payload) => payload,
  decode: (bytes) => bytes.toString('utf8'),
};

/** Payloads are whatever JSON can say. */
export function json<T = unknown>(): Codec<T> {
  return {
    encode: (payload) => JSON.stringify(payload),
    decode: (bytes) => JSON.parse(bytes.toString('utf8')) as T,
  };
}

// Writes options as arguments. What is undefined or null is left out.
import type { Arg } from './driver.js';
import { InvalidArgument } from './errors.js';

/** A duration in milliseconds, or a count. */
function integer(name: string, value: number | bigint): string {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new InvalidArgument(`${name} must be an integer, not ${value}`, 'ERR');
  }
  return String(value);
}

function kind(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value;
}

/** A word or bytes. Of anything else a client makes what it likes: ioredis writes "[object Object]". */
function word(value: Arg): Arg {
  if (typeof value === 'string' || Buffer.isBuffer(value)) return value;
  if ((value as unknown) instanceof Uint8Array) return Buffer.from(value as Uint8Array);
  throw new InvalidArgument(`a string or bytes is needed, not ${kind(value)}`, 'ERR');
}

/** An id as bytes of the encoding; what it cannot say is an error, and not another id. Bytes are what a reply had. */
function idBytes(id: Arg, encoding: BufferEncoding): Arg {
  if (Buffer.isBuffer(id)) return id;
  if (typeof id !== 'string') throw new InvalidArgument(`ids and tags are strings, not ${kind(id)}`, 'ERR');
  if (encoding === 'utf8') {
    if (!id.isWellFormed()) throw new InvalidArgument('an id has half of a surrogate pair, which UTF-8 cannot say', 'ERR');
    return id;
  }
  const bytes = Buffer.from(id, encoding);
  if (bytes.toString(encoding) !== id) throw new InvalidArgument(`an id has letters that ${encoding} cannot say`, 'ERR');
  return bytes;
}

/** Arguments of one command, put together in order. */
export class Args {
  readonly list: Arg[];

  constructor(
    readonly encoding: BufferEncoding,
    ...first: Arg[]
  ) {
    this.list = first;
  }

  /** An id, in the encoding of ids. */
  id(...ids: Arg[]): this {
    for (const id of ids) this.list.push(idBytes(id, this.encoding));
    return this;
  }

  /** A word as it is. */
  word(...words: Arg[]): this {
    for (const one of words) this.list.push(word(one));
    return this;
  }

  int(name: string, value: number | bigint): this {
    this.list.push(integer(name, value));
    return this;
  }

  /** NAME value. */
  number(name: string, value: number | null | undefined): this {
    return value === undefined || value === null ? this : this.word(name).int(name, value);
  }

  /** NAME text. */
  text(name: string, value: string | null | undefined): this {
    return value === undefined || value === null ? this : this.word(name, value);
  }

  /** NAME id. */
  named(name: string, value: string | null | undefined): this {
    return value === undefined || value === null ? this : this.word(name).id(value);
  }

  /** NAME n id … */
  counted(name: string, values: readonly string[] | null | undefined): this {
    if (values === undefined || values === null) return this;
    if (!Array.isArray(values)) throw new InvalidArgument(`${name} are an array of strings, not ${kind(values)}`, 'ERR');
    return this.word(name, String(values.length)).id(...values);
  }

  /** NAME, if it is true. */
  flag(name: string, value: boolean | undefined): this {
    return value ? this.word(name) : this;
  }

  /** NAME k n. */
  pair(name: string, value: readonly [number, number] | null | undefined): this {
    return value === undefined || value === null ? this : this.word(name).int(name, value[0]).int(name, value[1]);
  }
}

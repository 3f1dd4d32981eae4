// Writes options as arguments. What is undefined is left out.
import type { Arg } from './driver.js';
import { InvalidArgument } from './errors.js';

/** A duration in milliseconds, or a count. */
function integer(name: string, value: number | bigint): string {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new InvalidArgument(`${name} must be an integer, not ${value}`, 'ERR');
  }
  return String(value);
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
  id(...ids: string[]): this {
    for (const id of ids) this.list.push(this.encoding === 'utf8' ? id : Buffer.from(id, this.encoding));
    return this;
  }

  /** A word as it is. */
  word(...words: Arg[]): this {
    this.list.push(...words);
    return this;
  }

  int(name: string, value: number | bigint): this {
    this.list.push(integer(name, value));
    return this;
  }

  /** NAME value. */
  number(name: string, value: number | undefined): this {
    return value === undefined ? this : this.word(name).int(name, value);
  }

  /** NAME text. */
  text(name: string, value: string | undefined): this {
    return value === undefined ? this : this.word(name, value);
  }

  /** NAME id. */
  named(name: string, value: string | undefined): this {
    return value === undefined ? this : this.word(name).id(value);
  }

  /** NAME n id … */
  counted(name: string, values: readonly string[] | undefined): this {
    return values === undefined ? this : this.word(name, String(values.length)).id(...values);
  }

  /** NAME, if it is true. */
  flag(name: string, value: boolean | undefined): this {
    return value ? this.word(name) : this;
  }

  /** NAME k n. */
  pair(name: string, value: readonly [number, number] | undefined): this {
    return value === undefined ? this : this.word(name).int(name, value[0]).int(name, value[1]);
  }
}

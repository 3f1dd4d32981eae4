// Reads the event stream of a queue and checks that each item was decided once, by who held it then.
import type { Server } from './servers.js';

export interface Audit {
  /** How often each item was decided. */
  decided: Map<string, number>;
  /** Decisions whose token was not that of the live lock. */
  wrong: string[];
  expired: number;
  released: number;
}

export async function audit(server: Server, stream: string): Promise<Audit> {
  const found: Audit = { decided: new Map(), wrong: [], expired: 0, released: 0 };
  const locks = new Map<string, string>();
  for (const entry of (await server.ask('XRANGE', stream, '-', '+')) as [string, string[]][]) {
    const event = new Map<string, string>();
    for (let i = 0; i < entry[1].length; i += 2) event.set(entry[1][i] as string, entry[1][i + 1] as string);
    const item = event.get('item') as string;
    const token = event.get('token') as string;
    switch (event.get('ev')) {
      case 'claim':
      case 'assign':
        if (locks.has(item)) found.wrong.push(`${item} was given away while it was locked`);
        locks.set(item, token);
        break;
      case 'resolve':
        found.decided.set(item, (found.decided.get(item) ?? 0) + 1);
        if (locks.get(item) !== token) found.wrong.push(`${item} was decided by ${token}, locked by ${locks.get(item)}`);
        locks.delete(item);
        break;
      case 'expire':
      case 'dead':
      case 'release':
      case 'undo':
        if (event.get('ev') === 'expire') found.expired++;
        if (event.get('ev') === 'release') found.released++;
        locks.delete(item);
        break;
      default:
    }
  }
  return found;
}

/** What is wrong with the story that all of `items` were decided once. */
export function flaws(told: Audit, items: string[]): string[] {
  const all = [...told.wrong];
  for (const item of items) if (told.decided.get(item) !== 1) all.push(`${item} was decided ${told.decided.get(item) ?? 0} times`);
  if (told.decided.size !== items.length) all.push(`${told.decided.size} items were decided`);
  return all;
}

// Slots of a worker that claim and decide together: what they send, and that nothing of the one befalls the other.
import { describe, expect, it, type TestContext } from 'vitest';
import { type Claim, type Decision, Queue, utf8, type Worker, type WorkerOptions } from '../src/index.js';
import { audit, flaws } from './kit/audit.js';
import { CLIENTS, type ClientName, type Made, single } from './kit/clients.js';
import { LossyProxy } from './kit/proxy.js';
import { Server } from './kit/servers.js';
import { gate, until } from './kit/wait.js';

const ids = (n: number) => Array.from({ length: n }, (_, i) => `i${i}`);

/** A server with `n` items in a queue, a client of it by a proxy, and workers; ended with the test. */
async function scene({ onTestFinished }: TestContext, name: ClientName, n: number, options: object = {}) {
  const server = await Server.start();
  onTestFinished(() => server.stop());
  const proxy = await LossyProxy.start(server.port);
  onTestFinished(() => proxy.stop());
  await server.ask('MODQ.CONFIGURE', '{q}', 'EVENTS', '{q}:events', 'EVENTSMAXLEN', '0');
  for (const id of ids(n)) await server.ask('MODQ.SUBMIT', '{q}', id, 'text');
  const connect = async (more: object = {}): Promise<Made> => {
    const made = await single(name, proxy.port, { ...options, ...more });
    onTestFinished(() => made.close());
    return made;
  };
  const start = (made: Made, handler: Worker<string>['handler'], more: Partial<WorkerOptions> = {}) => {
    const queue = new Queue(made.client, '{q}', { codec: utf8 });
    // A lock that no test waits for the end of.
    const worker = queue.worker(handler, { moderator: 'bot', concurrency: 10, lockDuration: 600_000, replyTimeout: 2000, ...more });
    const errors: unknown[] = [];
    const decided = new Map<string, Decision>();
    worker.on('error', (error) => errors.push(error));
    worker.on('failed', (_, error) => errors.push(error));
    worker.on('resolved', (claim, decision) => decided.set(claim.item, decision));
    worker.run().catch(() => {});
    onTestFinished(() => worker.close({ timeout: 0 }));
    return { worker, errors, decided };
  };
  /** How often the server has carried a command out. */
  const calls = async (command: string) =>
    Number(new RegExp(`cmdstat_modq\\.${command}:calls=(\\d+)`).exec(String(await server.ask('INFO', 'commandstats')))?.[1] ?? 0);
  const left = async () => Number(await server.ask('MODQ.LEN', '{q}'));
  return { server, proxy, connect, start, calls, left };
}

/** A handler that waits until `n` claims are in hand and somebody opens `go`. */
function holding(n: number, answer: (claim: Claim<string>) => Awaited<ReturnType<Worker<string>['handler']>>) {
  const all = gate();
  const go = gate();
  const claims: Claim<string>[] = [];
  const handler = async (claim: Claim<string>) => {
    claims.push(claim);
    if (claims.length === n) all.open();
    await go.promise;
    return answer(claim);
  };
  return { handler, claims, all: all.promise, go: () => go.open() };
}

describe.concurrent.each(CLIENTS)('%s', (name) => {
  it('claims by one command and decides by one', async (context) => {
    const { server, connect, start, calls, left } = await scene(context, name, 30);
    const held = holding(10, () => 'fine');
    const { decided } = start(await connect(), held.handler);
    await held.all;
    expect(await calls('claim')).toBe(1);
    expect(new Set(held.claims.map(({ moderator }) => moderator)).size).toBe(1);
    held.go();
    await until('all to be decided', () => decided.size === 30);
    expect([await calls('resolve'), await calls('mresolve'), await left()]).toEqual([0, 3, 0]);
    expect([...decided.values()].every((decision) => decision.confirmed && decision.status === 'OK')).toBe(true);
    expect(flaws(await audit(server, '{q}:events'), ids(30))).toEqual([]);
  });

  it('says of each what its handler said, and keeps the refusal of one from the others', async (context) => {
    const { server, connect, start, calls, left } = await scene(context, name, 10);
    const held = holding(10, ({ item, rev, deliveries }) => {
      const decision = Number(item[1]) % 2 ? 'odd' : 'even';
      if (item === 'i3') return { decision, rev: -1 }; // no revision at all: the whole command is refused
      if (item === 'i4') return { decision, rev: deliveries === 1 ? 7 : rev }; // at first not the item's
      return item < 'i6' ? decision : { decision, rev };
    });
    const { decided, errors } = start(await connect(), held.handler, { retryDelay: () => 600_000 });
    await held.all;
    await server.ask('MODQ.CANCEL', '{q}', 'i5');
    held.go();
    await until('the others to be decided', () => decided.size === 8);
    await until('i3 to be given back', async () => (await server.ask('MODQ.LEN', '{q}', 'DELAYED')) === 1);
    expect([...decided.keys()].sort()).toEqual(['i0', 'i1', 'i2', 'i4', 'i6', 'i7', 'i8', 'i9']);
    expect(errors.map((error) => (error as { code: string }).code)).toEqual(['ERR']);
    expect(await calls('mresolve')).toBeGreaterThan(0);
    expect(await left()).toBe(1);
    const events = (await server.ask('XRANGE', '{q}:events', '-', '+')) as [string, unknown[]][];
    const said = new Map(
      events.map(([, flat]) => {
        const at = (field: string) => String(flat[flat.map(String).indexOf(field) + 1]);
        return [at('item'), at('decision')];
      }),
    );
    expect(['i0', 'i1', 'i4', 'i6', 'i7'].map((item) => said.get(item))).toEqual(['even', 'odd', 'even', 'even', 'odd']);
  });

  it('works on all that a lost reply had locked, without waiting for locks to end', async (context) => {
    const { server, proxy, connect, start } = await scene(context, name, 25);
    proxy.cut = { what: /MODQ\.CLAIM/, times: 2 };
    const seen: string[] = [];
    const { decided } = start(await connect(), ({ item, deliveries }) => void seen.push(`${item} ${deliveries}`));
    await until('all to be decided', () => decided.size === 25);
    expect(proxy.lost).toBe(2);
    expect(seen.sort()).toEqual(
      ids(25)
        .map((id) => `${id} 1`)
        .sort(),
    );
    expect(await audit(server, '{q}:events')).toMatchObject({ expired: 0, released: 0 });
  });

  it('decides each once when the reply to all decisions is lost', async (context) => {
    const { server, proxy, connect, start } = await scene(context, name, 10);
    const held = holding(10, () => 'fine');
    const { decided, errors } = start(await connect(), held.handler);
    await held.all;
    proxy.cut = { what: /MODQ\.MRESOLVE/, times: 1 };
    held.go();
    await until('all to be decided', () => decided.size === 10);
    expect(proxy.lost).toBe(1);
    expect([...decided.values()]).toEqual(Array(10).fill({ confirmed: false }));
    expect(errors).toEqual([]);
    expect(flaws(await audit(server, '{q}:events'), ids(10))).toEqual([]);
  });

  it('decides one by one where MRESOLVE is not allowed', async (context) => {
    const { server, connect, start, calls } = await scene(context, name, 20);
    await server.ask('ACL', 'SETUSER', 'narrow', 'on', '>secret', '~*', '+@all', '-modq.mresolve');
    const held = holding(10, () => 'fine');
    const { decided, errors } = start(await connect({ username: 'narrow', password: 'secret' }), held.handler);
    await held.all;
    held.go();
    await until('all to be decided', () => decided.size === 20);
    expect([await calls('mresolve'), await calls('resolve')]).toEqual([0, 20]);
    expect(errors).toEqual([]);
  });

  it('asks another id for each slot where one may have no more', async (context) => {
    const { server, connect, start } = await scene(context, name, 10);
    await server.ask('MODQ.CONFIGURE', '{q}', 'CAPACITY', '4');
    const held = holding(10, () => 'fine');
    start(await connect(), held.handler);
    await held.all;
    const byId = new Map<string, number>();
    for (const { moderator } of held.claims) byId.set(moderator, (byId.get(moderator) ?? 0) + 1);
    expect([...byId.values()].sort()).toEqual([2, 4, 4]);
    held.go();
  });

  it('gives a moderator who has a name one item at a time', async (context) => {
    const { connect, start } = await scene(context, name, 10);
    const held = holding(3, () => 'fine');
    start(await connect(), held.handler, { concurrency: 3, moderatorOf: (slot) => `m${slot}` });
    await held.all;
    expect(held.claims.map(({ moderator }) => moderator).sort()).toEqual(['m0', 'm1', 'm2']);
    held.go();
  });
});

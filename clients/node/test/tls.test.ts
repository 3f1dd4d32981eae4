// TLS, client certificates, ACL users, Sentinel and clusters by TLS: what the user's client has, the worker's own connections have
// as well, and who is not trusted is told.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { type Claim, Limiter, NotTrusted, Presence, Queue, toModqError, utf8 } from '../src/index.js';
import { CLIENTS, type ClientName, type Made, type Secure, secure, secureCluster, secureSentinel } from './kit/clients.js';
import { freePort, type Kind, sentinel } from './kit/servers.js';
import { Certificates, SPEAK_TLS, TlsServer } from './kit/tls.js';
import { gate, until } from './kit/wait.js';

const certificates = new Certificates();
afterAll(() => certificates.stop());

const MATRIX: [ClientName, Kind][] = [
  ...CLIENTS.map((name): [ClientName, Kind] => [name, 'redis-7.0']),
  ...SPEAK_TLS.slice(1).flatMap((kind): [ClientName, Kind][] => [
    ['redis6', kind],
    ['ioredis6', kind],
  ]),
];

/** Closes what was made when the test ends. */
function closing({ onTestFinished }: TestContext) {
  return (made: Made) => {
    onTestFinished(() => made.close());
    return made.client;
  };
}

const as = (username: string, more: object = {}): Secure => ({ tls: certificates.ofClient(), username, password: 'secret', ...more });

async function start(kind: Kind): Promise<TlsServer> {
  const server = await TlsServer.start(kind, certificates);
  const operations = readFileSync(resolve(import.meta.dirname, '../../../docs/operations.md'), 'utf8');
  for (const [, rule] of operations.matchAll(/^ACL (SETUSER (?:moderator|submitter|limiter) .*)$/gm))
    await server.server.ask('ACL', ...(rule as string).split(' '));
  await server.server.ask('ACL', 'SETUSER', 'far', 'on', '>secret', 'allkeys', 'allchannels', '+@all');
  return server;
}

describe.each(SPEAK_TLS)('%s', (kind) => {
  let server: TlsServer;
  beforeAll(async () => {
    server = await start(kind);
  });
  afterAll(() => server?.stop());
  const clients = MATRIX.filter(([, its]) => its === kind).map(([name]) => name);

  it.for(clients)('%s: a worker has what its client has, also after its connections were cut', async (name, context) => {
    const using = closing(context);
    const key = `review:${name}`;
    const submitter = new Queue(using(secure(name, server.port, as('submitter'))), key, { codec: utf8 });
    const queue = new Queue(using(secure(name, server.port, as('moderator'))), key, { codec: utf8 });
    const worker = queue.worker(() => 'fine', { moderator: 'bot' });
    worker.on('error', () => {}); // the cuts
    const running = worker.run();
    for (const id of ['a', 'b']) {
      await until('it to wait', async () => ((await server.server.ask('MODQ.WAITERS', key)) as unknown[]).length === 1);
      // The connection that waits is one of two, both by TLS; the other one may be on its way back.
      await until('both connections', async () => (await server.whereFrom('moderator')).count >= 2);
      expect((await server.whereFrom('moderator')).ports).toEqual([`${server.port}`]);
      await submitter.submit(id, 'text');
      await until('it to be decided', async () => (await server.server.ask('MODQ.LEN', key)) === 0);
      await server.server.ask('CLIENT', 'KILL', 'USER', 'moderator');
    }
    await until('it to wait again', async () => ((await server.server.ask('MODQ.WAITERS', key)) as unknown[]).length === 1);
    await worker.close();
    await running;
  });

  it.for(clients)('%s: works in the database of its client', async (name, context) => {
    const key = `far:${name}`;
    const queue = new Queue(closing(context)(secure(name, server.port, as('far', { database: 3 }))), key, { codec: utf8 });
    await queue.submit('a', 'text');
    const [claim] = await queue.claim('ann', { block: 10_000 });
    await claim?.release();
    const worker = queue.worker(() => 'fine', { moderator: 'bot' });
    const running = worker.run();
    await until('it to be decided and the worker to wait', async () => (await queue.len()) === 0 && (await queue.waiters()).length === 1);
    const { count, ports, databases } = await server.whereFrom('far');
    expect([count >= 2, ports, databases]).toEqual([true, [`${server.port}`], ['3']]);
    await worker.close();
    await running;
  });

  it.for(clients)('%s: presence hears, and limits are asked', async (name, context) => {
    const using = closing(context);
    const key = `review:presence:${name}`;
    const submitter = new Queue(using(secure(name, server.port, as('submitter'))), key, { codec: utf8 });
    const queue = new Queue(using(secure(name, server.port, as('moderator'))), key, { codec: utf8 });
    const presence = new Presence(queue);
    const announced = gate<Claim<string>>();
    (await presence.join('bob')).on('claim', announced.open);
    await submitter.submit('a', 'text');
    await (await announced.promise).resolve();
    await presence.close();
    const limits = { limits: { quota: 1, window: 60_000 }, prefix: `limit:${name}:`, onError: 'throw', timeout: 30_000 } as const;
    const limiter = new Limiter(using(secure(name, server.port, as('limiter'))), limits);
    expect([(await limiter.check('u')).allowed, (await limiter.check('u')).allowed]).toEqual([true, false]);
  });

  it.for(clients)('%s: a worker ends where the authority is none that its client knows', async (name, context) => {
    const client = closing(context)(secure(name, server.port, { tls: certificates.ofClient('stranger') }));
    const queue = new Queue(client, 'untrusted');
    const worker = queue.worker(() => {}, { moderator: 'bot', replyTimeout: 500 });
    worker.on('error', () => {}); // the shared client, which goes on trying
    await expect(worker.run()).rejects.toMatchObject({
      name: 'NotTrusted',
      code: 'CERTIFICATE',
      message: 'self-signed certificate in certificate chain',
    });
    await expect(queue.claim('ann', { block: 1000 })).rejects.toBeInstanceOf(NotTrusted);
    const limits = { limits: { quota: 1, window: 60_000 }, onError: 'open', timeout: 200 } as const;
    expect(await new Limiter(client, limits).check('u')).toMatchObject({ allowed: true, reason: 'error' });
  });

  it.for(clients)('%s: a worker ends with a wrong password', async (name, context) => {
    const client = closing(context)(secure(name, server.port, as('far', { password: 'wrong' })));
    const worker = new Queue(client, 'untrusted').worker(() => {}, { moderator: 'bot', replyTimeout: 500 });
    worker.on('error', () => {});
    await expect(worker.run()).rejects.toMatchObject({ code: /WRONGPASS|NOAUTH/ });
  });
});

describe('Sentinel', () => {
  it.for(['redis6', 'ioredis5', 'ioredis6'] as const)('%s: finds the primary and works, all by TLS', async (name, context) => {
    const primary = await start('redis-7.0');
    context.onTestFinished(() => primary.stop());
    const port = await freePort();
    const watcher = await sentinel('redis-7.0', primary.port, 1, ...certificates.linesOfServer(port), 'tls-replication yes');
    context.onTestFinished(() => watcher.stop());
    const queue = new Queue(closing(context)(await secureSentinel(name, port, as('far'))), 'q', { codec: utf8 });
    await works(queue, primary);
  });
});

describe('cluster', () => {
  it.for(CLIENTS)('%s: works by TLS', async (name, context) => {
    const args = [
      '--cluster-enabled',
      'yes',
      '--cluster-announce-ip',
      '127.0.0.1',
      '--tls-cluster',
      'yes',
      '--cluster-port',
      `${await freePort()}`,
    ];
    const node = await TlsServer.start('redis-7.0', certificates, ...args);
    context.onTestFinished(() => node.stop());
    await node.server.ask('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
    await until('the cluster to be whole', async () => /cluster_state:ok/.test(String(await node.server.ask('CLUSTER', 'INFO'))));
    await node.server.ask('ACL', 'SETUSER', 'far', 'on', '>secret', 'allkeys', 'allchannels', '+@all');
    const queue = new Queue(closing(context)(await secureCluster(name, node.port, as('far'))), '{q}', { codec: utf8 });
    await works(queue, node);
  });
});

/** A worker decides what is submitted, and waits for more by a connection of its own, as `far` and by TLS. */
async function works(queue: Queue<string>, server: TlsServer): Promise<void> {
  await queue.submit('a', 'text');
  const worker = queue.worker(() => 'fine', { moderator: 'bot' });
  const running = worker.run();
  await until('it to be decided and the worker to wait', async () => (await queue.len()) === 0 && (await queue.waiters()).length === 1);
  const { count, ports } = await server.whereFrom('far');
  expect([count >= 2, ports]).toEqual([true, [`${server.port}`]]);
  await worker.close();
  await running;
}

describe('errors of connections', () => {
  it('are known for certificates by their code, ours and those of the other side', () => {
    const failed = (code: string) => toModqError(Object.assign(new Error('no'), { code }));
    for (const code of ['CERT_HAS_EXPIRED', 'ERR_TLS_CERT_ALTNAME_INVALID', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'])
      expect(failed(code)).toBeInstanceOf(NotTrusted);
    for (const code of ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA'])
      expect(failed(code)).toBeInstanceOf(NotTrusted);
    for (const code of ['ECONNRESET', 'ECONNREFUSED', 'ERR_SSL_WRONG_VERSION_NUMBER'])
      expect(failed(code)).toMatchObject({ code: 'CONNECTION', uncertain: true });
  });
});
